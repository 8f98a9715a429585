//! What people ask of the stand-in agent, and what the room shows of its answers: the words that a test steers by and
//! looks for.
//!
//! Owns both, so that agent and audit cannot disagree. Pure.

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// `say m1`: one short text.
    Say,
    /// `tool m1`: a shell command that no rule of the tests allows, and then a word about it.
    Tool,
    /// `free m1`: a tool that a rule may allow (`Read`), and then a word about it.
    Free,
    /// `long m1`: a text of about 12 000 characters, several parts in every room.
    Long,
    /// `slow m1`: a text that is written over about a second.
    Slow,
    /// `crash m1`: the agent ends in the middle of its answer.
    Crash,
    /// `hang m1`: the agent says nothing any more, and listens to nobody.
    Hang,
    /// `garbage m1`: the agent writes what is no frame.
    Garbage,
}

impl Verb {
    /// All of them.
    pub const ALL: &[Self] =
        &[Self::Say, Self::Tool, Self::Free, Self::Long, Self::Slow, Self::Crash, Self::Hang, Self::Garbage];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Say => "say",
            Self::Tool => "tool",
            Self::Free => "free",
            Self::Long => "long",
            Self::Slow => "slow",
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Garbage => "garbage",
        }
    }
}

/// One thing that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Task {
    /// What.
    pub verb: Verb,
    /// By which it is known in the room and in the journal. Letters, digits and `-`, at least one digit.
    pub mark: String,
}

/// How a task came out, as the agent tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// Its tool was refused.
    Refused,
}

impl Task {
    /// The words that ask for it.
    pub fn words(&self) -> String {
        format!("{} {}", self.verb.word(), self.mark)
    }

    /// What a whole answer shows, each exactly once, in this order.
    pub fn signs(&self, outcome: Outcome) -> Vec<String> {
        let names: &[&str] = match (self.verb, outcome) {
            (_, Outcome::Refused) => &["refused"],
            (Verb::Tool | Verb::Free, Outcome::Done) => &["did"],
            (Verb::Say, Outcome::Done) => &["said"],
            (Verb::Long, Outcome::Done) => &["begun", "middle", "ended"],
            (Verb::Slow, Outcome::Done) => &["begun", "ended"],
            // These have no answer.
            (Verb::Crash | Verb::Hang | Verb::Garbage, Outcome::Done) => &[],
        };
        names.iter().map(|name| format!("{name}({})", self.mark)).collect()
    }

    /// The text of the answer.
    pub fn answer(&self, outcome: Outcome) -> String {
        let between = match self.verb {
            // Words and lines, as the splitting of a long text looks for both.
            Verb::Long => format!("\n{}", "all the words of a long answer\n".repeat(190)),
            Verb::Slow => " and so on ".repeat(10),
            _ => String::new(),
        };
        self.signs(outcome).join(&between)
    }
}

/// Everything that a prompt asks for, in order. A word before a mark that has no digit is no request.
pub fn tasks(prompt: &str) -> Vec<Task> {
    let mut tasks = Vec::new();
    let mut verb = None;
    for word in prompt.split_whitespace() {
        if let Some(verb) = verb.take()
            && is_mark(word)
        {
            tasks.push(Task { verb, mark: word.to_owned() });
        } else {
            verb = Verb::ALL.iter().copied().find(|verb| verb.word() == word);
        }
    }
    tasks
}

fn is_mark(word: &str) -> bool {
    word.len() <= 40
        && word.chars().any(|c| c.is_ascii_digit())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_found_between_other_words() {
        let words = |prompt: &str| tasks(prompt).iter().map(Task::words).collect::<Vec<_>>();
        assert_eq!(words("[Rocket.Chat #r | from: alice] @bot say m1"), ["say m1"]);
        assert_eq!(words("say m1\nfoo tool m-2 long  m3"), ["say m1", "tool m-2", "long m3"]);
        assert!(words("no tool call had been made; say say m(1) say").is_empty());
        assert_eq!(words("say say m1"), ["say m1"]);
    }

    #[test]
    fn an_answer_holds_its_signs_once_and_a_long_one_is_several_parts() {
        for verb in Verb::ALL {
            let task = Task { verb: *verb, mark: "m1".into() };
            for outcome in [Outcome::Done, Outcome::Refused] {
                let answer = task.answer(outcome);
                for sign in task.signs(outcome) {
                    assert_eq!(answer.matches(&sign).count(), 1, "{answer}");
                }
                assert!(tasks(&answer).is_empty(), "an answer asks for nothing");
            }
        }
        assert!(Task { verb: Verb::Long, mark: "m1".into() }.answer(Outcome::Done).len() > 10_500);
    }
}
