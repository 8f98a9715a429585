//! The words by which enums are stored.
//!
//! Owns both directions of each. A word is never changed: old rows hold it.

use acg_types::{Addressed, OutgoingKind, RoomKind};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use crate::{ApprovalState, InboxState, PartState, Refusal, TurnState};

/// A stored word that no version so far has written.
#[derive(Debug, thiserror::Error)]
#[error("unknown word {0:?}")]
pub(crate) struct UnknownWord(pub(crate) String);

/// An enum with a word for every value.
pub(crate) trait Word: Sized + Copy {
    fn word(self) -> &'static str;
    fn from_word(word: &str) -> Option<Self>;
}

#[cfg(test)]
trait AllWords: Sized + 'static {
    const ALL: &[Self];
}

macro_rules! words {
    ($($type:ident { $($variant:ident = $word:literal),* $(,)? })*) => {$(
        impl Word for $type {
            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        #[cfg(test)]
        impl AllWords for $type {
            const ALL: &[Self] = &[$(Self::$variant),*];
        }
    )*};
}

words! {
    InboxState { Waiting = "waiting", Running = "running", Done = "done", Refused = "refused", Withdrawn = "withdrawn" }
    Refusal {
        QueueFull = "queue_full", ShareFull = "share_full", RateLimited = "rate_limited",
        BudgetSpent = "budget_spent", TooOld = "too_old", TooMany = "too_many",
    }
    TurnState { Begun = "begun", Sent = "sent", Deferred = "deferred", Ended = "ended" }
    ApprovalState {
        Waiting = "waiting", Deferred = "deferred", Approved = "approved", Denied = "denied",
        TimedOut = "timed_out", Withdrawn = "withdrawn",
    }
    PartState {
        Pending = "pending", Sent = "sent", Failed = "failed", Ambiguous = "ambiguous", Expired = "expired",
    }
    OutgoingKind { Reply = "reply", Notice = "notice", Send = "send" }
    Addressed { Me = "me", All = "all", MeAndAll = "me_and_all", Nobody = "nobody" }
    RoomKind { Channel = "channel", Group = "group", Direct = "direct" }
}

/// Makes a word of an enum a column's value, and reads it back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored<T>(pub(crate) T);

impl<T: Word> ToSql for Stored<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0.word()))
    }
}

impl<T: Word> FromSql for Stored<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let word = value.as_str()?;
        T::from_word(word)
            .map(Self)
            .ok_or_else(|| FromSqlError::Other(Box::new(UnknownWord(word.to_owned()))))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;

    fn check<T: AllWords + Word + PartialEq + Debug>() {
        for value in T::ALL {
            assert_eq!(T::from_word(value.word()).as_ref(), Some(value));
        }
        assert_eq!(T::from_word("nonsense"), None);
    }

    #[test]
    fn every_word_reads_back() {
        check::<InboxState>();
        check::<Refusal>();
        check::<TurnState>();
        check::<ApprovalState>();
        check::<PartState>();
        check::<OutgoingKind>();
        check::<Addressed>();
        check::<RoomKind>();
    }

    #[test]
    fn words_agree_with_those_of_the_types() {
        assert!(OutgoingKind::ALL.iter().all(|kind| kind.word() == kind.as_str()));
        assert!(RoomKind::ALL.iter().all(|kind| kind.word() == kind.as_str()));
    }
}
