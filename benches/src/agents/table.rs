//! The table of agent programs: each way of asking one, what the gateway adds, and whether that is within the target.
//! Pure.

use std::fmt::Write as _;

use crate::numbers::Figure;
use crate::report::short;

/// What the gateway may add to the program's own turn, beside the commits that the floor makes too, in milliseconds.
const ADDED: f64 = 10.0;

/// One program. Samples are milliseconds, a block for each round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    pub(crate) agent: String,
    /// Started anew for one prompt, until its process has ended.
    pub(crate) once: Vec<Vec<f64>>,
    /// From prompt to end in a process that is up.
    pub(crate) bare: Vec<Vec<f64>>,
    /// From the frame of the room's message to the post.
    pub(crate) gateway: Vec<Vec<f64>>,
    /// The same of the floor, which has no agent: network and commits.
    pub(crate) floor: Vec<Vec<f64>>,
}

fn p50(samples: &[Vec<f64>]) -> Option<f64> {
    Figure::percentile(samples, 50.0).map(|figure| figure.value)
}

fn cell(samples: &[Vec<f64>]) -> String {
    match (p50(samples), Figure::percentile(samples, 90.0)) {
        (Some(half), Some(most)) => format!("{} / {} ms", short(half), short(most.value)),
        _ => "–".to_owned(),
    }
}

impl Line {
    /// Milliseconds that the gateway adds: the median of what it adds at p50 in each round, so that a round in which the
    /// machine was slow counts for neither side.
    fn added(&self) -> Option<f64> {
        let half = |block: &Vec<f64>| p50(std::slice::from_ref(block));
        let rounds = self.gateway.iter().zip(&self.bare);
        let added: Vec<f64> =
            rounds.filter_map(|(gateway, bare)| Some(half(gateway)? - half(bare)?)).collect();
        p50(&[added])
    }

    fn is_within(&self) -> Option<bool> {
        Some(self.added()? <= ADDED + p50(&self.floor)?)
    }
}

/// The lines as a Markdown table, and a sentence on the target.
pub(crate) fn table(lines: &[Line]) -> String {
    let mut text = String::from(
        "| Agent | Started for one prompt | Its own second turn | Through the gateway | Floor | Added | Ratio | Started anew ÷ gateway | Target | |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for line in lines {
        let ratio = |over: &[Vec<f64>], under: &[Vec<f64>]| {
            let ratio = p50(over).zip(p50(under)).map(|(over, under)| over / under);
            ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{} ×", short(ratio)))
        };
        let verdict = match line.is_within() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "not measured",
        };
        let most =
            p50(&line.floor).map_or_else(|| "–".to_owned(), |floor| format!("≤ {} ms", short(ADDED + floor)));
        let cells = [
            line.agent.clone(),
            cell(&line.once),
            cell(&line.bare),
            cell(&line.gateway),
            cell(&line.floor),
            line.added().map_or_else(|| "–".to_owned(), |added| format!("{} ms", short(added))),
            ratio(&line.gateway, &line.bare),
            ratio(&line.once, &line.gateway),
            most,
            verdict.to_owned(),
        ];
        text.push_str(&cells.map(|cell| format!("| {cell} ")).concat());
        text.push_str("|\n");
    }
    let met = lines.iter().filter(|line| line.is_within() == Some(true)).count();
    // Writing into a string cannot fail.
    let _written = write!(text, "\n{met} of {} targets met.\n", lines.len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_may_be_ten_milliseconds_and_the_floor() {
        let line = |gateway: f64| Line {
            agent: "an agent 1.0".to_owned(),
            once: vec![vec![1000.0, 1200.0]],
            bare: vec![vec![40.0]],
            gateway: vec![vec![gateway]],
            floor: vec![vec![2.0]],
        };
        // The machine was slow in one round, for both.
        let rounds = Line {
            bare: vec![vec![40.0], vec![41.0], vec![900.0]],
            gateway: vec![vec![45.0], vec![47.0], vec![907.0]],
            ..line(0.0)
        };
        assert_eq!(rounds.added(), Some(6.0));
        assert_eq!(
            table(&[line(52.0), line(52.5), Line::default()]),
            "| Agent | Started for one prompt | Its own second turn | Through the gateway | Floor | Added | Ratio | Started anew ÷ gateway | Target | |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n\
             | an agent 1.0 | 1000 / 1200 ms | 40.0 / 40.0 ms | 52.0 / 52.0 ms | 2.00 / 2.00 ms | 12.0 ms | 1.30 × | 19.2 × | ≤ 12.0 ms | met |\n\
             | an agent 1.0 | 1000 / 1200 ms | 40.0 / 40.0 ms | 52.5 / 52.5 ms | 2.00 / 2.00 ms | 12.5 ms | 1.31 × | 19.0 × | ≤ 12.0 ms | **missed** |\n\
             |  | – | – | – | – | – | – | – | – | not measured |\n\
             \n1 of 3 targets met.\n"
        );
    }
}
