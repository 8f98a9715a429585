//! What is said to people whose message is refused, and when nothing is. Pure.
//!
//! Owns the rule that everybody who is refused is told once, with the reason: not for each message, and not by so many
//! posts that the room's answers would be held up.

use std::time::Duration;

use acg_store::{Admission, Refusal, Refused};
use acg_types::{Sender, Timestamp};

use crate::budget::Whose;
use crate::notices;

/// Refusals of one person that follow each other within this time are told once.
const ONE_BURST: Duration = Duration::from_mins(1);
/// When this many people were told of the same in one burst, the room knows.
const MOST_TOLD: u32 = 20;

/// Refusals before this do not belong to the same burst.
pub(super) fn since(now: Timestamp) -> Timestamp {
    now.before(ONE_BURST)
}

/// What is said about a refusal, if anything. The limits come with whose budget is spent, if one is.
pub(super) fn word(
    refused: Refused,
    sender: &Sender,
    (limits, spent): (Admission, Option<Whose>),
    now: Timestamp,
    sent_at: Timestamp,
) -> Option<String> {
    // The clock may have been set back: what is far ahead is not of this burst either.
    let told = refused.before.is_some_and(|at| at >= since(now) && now >= since(at));
    if told || refused.people >= MOST_TOLD {
        return None;
    }
    let name = &sender.username;
    match (refused.refusal, limits.rate, refused.until) {
        (Refusal::RateLimited, Some(rate), Some(until)) => {
            Some(notices::too_fast(name, rate.messages, rate.per, until.since(sent_at)))
        }
        (Refusal::ShareFull, ..) => Some(notices::share_full(name, limits.share)),
        (Refusal::BudgetSpent, ..) => spent.map(|whose| notices::budget_spent(name, whose)),
        (Refusal::QueueFull | Refusal::RateLimited, ..) => Some(notices::BUSY.to_owned()),
        // Of what was missed the room is told in one line, elsewhere.
        (Refusal::TooOld | Refusal::TooMany, ..) => None,
    }
}

#[cfg(test)]
mod tests {
    use acg_store::Rate;

    use super::*;

    const NOW: Timestamp = Timestamp(10_000_000);

    fn said(refusal: Refusal, before: Option<Timestamp>, people: u32) -> Option<String> {
        let rate = Rate { messages: 20, per: Duration::from_mins(1) };
        let limits = Admission { depth: 100, share: 3, rate: Some(rate), budget_spent: true };
        let sender = Sender { id: "A".into(), username: "alice".into(), display_name: None };
        let refused =
            Refused { refusal, before, people, until: Some(NOW.after(Duration::from_millis(2_500))) };
        word(refused, &sender, (limits, Some(Whose::Room)), NOW, NOW)
    }

    #[test]
    fn each_reason_has_its_words() {
        insta::assert_snapshot!(said(Refusal::QueueFull, None, 0).unwrap(), @"⚠️ Server busy — your message was dropped. Please retry.");
        insta::assert_snapshot!(said(Refusal::ShareFull, None, 0).unwrap(), @"⚠️ @alice, your message was dropped: 3 of yours wait here already, and no more may. Please wait for an answer.");
        insta::assert_snapshot!(said(Refusal::RateLimited, None, 0).unwrap(), @"⚠️ @alice, your message was dropped: you may send 20 in 60 seconds. Please try again in 3 seconds.");
        insta::assert_snapshot!(said(Refusal::BudgetSpent, None, 0).unwrap(), @"⚠️ @alice, your message was not given to the agent: this room's budget for today is used up. It is renewed at midnight.");
    }

    #[test]
    fn a_burst_is_told_of_once_however_long_it_is() {
        let ago = |seconds| Some(NOW.before(Duration::from_secs(seconds)));
        assert_eq!(said(Refusal::QueueFull, ago(0), 0), None);
        assert_eq!(said(Refusal::QueueFull, ago(60), 0), None);
        assert!(said(Refusal::QueueFull, ago(61), 0).is_some(), "another burst");
        assert!(
            said(Refusal::QueueFull, Some(NOW.after(Duration::from_hours(1))), 0).is_some(),
            "a clock set back"
        );
    }

    #[test]
    fn a_crowd_does_not_flood_the_room() {
        assert!(said(Refusal::QueueFull, None, 19).is_some());
        assert_eq!(said(Refusal::QueueFull, None, 20), None);
    }
}
