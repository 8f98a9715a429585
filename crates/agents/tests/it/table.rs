//! The table of agents and behaviours in `docs/agents.md`: made by the run, and compared with it.
//!
//! Each agent's test brings its own column. `scripts/agents-table` runs those tests so that each writes its column; any
//! other run fails where a column says something else than was seen. Must never write a cell that no run has shown.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// A behaviour, and how it came out.
pub(crate) type Row = (&'static str, String);

/// The columns, in their order. An agent whose test calls [`agrees`] has its name here.
const AGENTS: &[&str] = &["Claude Code", "Codex", "OpenCode", "ACP (OpenCode)", "Gemini CLI"];

const BEGIN: &str = "<!-- behaviour: begin -->";
const END: &str = "<!-- behaviour: end -->";
/// Where a column has no such row yet.
const UNKNOWN: &str = "–";

/// Tests of several agents run at once in this process.
static DOCUMENT: Mutex<()> = Mutex::new(());

/// Compares an agent's column with what was seen; with `ACG_AGENTS_TABLE=write`, writes it.
#[track_caller]
pub(crate) fn agrees(agent: &str, seen: &[Row]) {
    assert!(AGENTS.contains(&agent), "{agent} has no column: put its name into AGENTS");
    let _one_at_a_time = DOCUMENT.lock().unwrap_or_else(PoisonError::into_inner);
    let path = document();
    let text = fs::read_to_string(&path).unwrap();
    let table = Table::read(&text);
    if std::env::var_os("ACG_AGENTS_TABLE").is_some_and(|wish| wish == "write") {
        let renewed = renewed(&text, &table.with(agent, seen));
        File::create(&path).unwrap().write_all(renewed.as_bytes()).unwrap();
        return;
    }
    let expected: Vec<(&str, &str)> = seen.iter().map(|(what, how)| (*what, how.as_str())).collect();
    let said = table.column(agent);
    assert_eq!(
        said, expected,
        "docs/agents.md says (left) what {agent} does not do: run scripts/agents-table"
    );
}

fn document() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/agents.md"))
}

/// Row by row: what, and a cell for each of [`AGENTS`].
#[derive(Debug, PartialEq)]
struct Table {
    agents: Vec<String>,
    rows: Vec<(String, Vec<String>)>,
}

impl Table {
    fn read(text: &str) -> Self {
        let (_, rest) = text.split_once(BEGIN).expect("a table begins");
        let (inner, _) = rest.split_once(END).expect("a table ends");
        let mut lines = inner.lines().filter(|line| line.starts_with('|')).map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
            (cells.next().unwrap_or_default(), cells.collect::<Vec<_>>())
        });
        let agents = lines.next().map(|(_, agents)| agents).unwrap_or_default();
        Self { agents, rows: lines.skip(1).collect() }
    }

    fn column(&self, agent: &str) -> Vec<(&str, &str)> {
        let Some(at) = self.agents.iter().position(|name| name == agent) else { return Vec::new() };
        self.rows
            .iter()
            .map(|(what, cells)| (what.as_str(), cells.get(at).map_or(UNKNOWN, String::as_str)))
            .collect()
    }

    /// With this column, and the rows that it has.
    fn with(&self, agent: &str, seen: &[Row]) -> Self {
        let cell = |what: &str, name: &str, how: &String| {
            if name == agent {
                return how.clone();
            }
            let known = self.column(name).into_iter().find(|(row, _)| *row == what);
            known.map_or(UNKNOWN, |(_, cell)| cell).to_owned()
        };
        let rows = seen
            .iter()
            .map(|(what, how)| {
                let cells = AGENTS.iter().map(|name| cell(what, name, how)).collect();
                ((*what).to_owned(), cells)
            })
            .collect();
        Self { agents: AGENTS.iter().map(ToString::to_string).collect(), rows }
    }

    fn written(&self) -> String {
        let line = |first: &str, cells: &[String]| format!("| {first} | {} |\n", cells.join(" | "));
        let mut text = line("Behaviour", &self.agents);
        text += &line("---", &vec!["---".to_owned(); self.agents.len()]);
        for (what, cells) in &self.rows {
            text += &line(what, cells);
        }
        text
    }
}

fn renewed(document: &str, table: &Table) -> String {
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    format!("{before}{BEGIN}\n\n{}\n{END}{after}", table.written())
}

#[test]
fn the_table_has_a_column_for_each_agent_and_no_gap() {
    let text = fs::read_to_string(document()).unwrap();
    let table = Table::read(&text);
    assert_eq!(table.agents, AGENTS, "run scripts/agents-table");
    assert!(table.rows.len() > 10, "{table:?}");
    for (what, cells) in &table.rows {
        assert_eq!(cells.len(), AGENTS.len(), "{what}");
        let has_gap = cells.iter().any(|cell| cell.is_empty() || cell == UNKNOWN);
        assert!(!has_gap, "{what}: {cells:?}: run scripts/agents-table");
    }
    assert_eq!(renewed(&text, &table), text, "as it is written");
}

#[test]
fn a_column_takes_the_place_of_its_last_one_and_leaves_the_others() {
    let document = format!("above\n{BEGIN}\n{END}\nbelow\n");
    let first = renewed(&document, &Table::read(&document).with("Codex", &[("answer", "yes".into())]));
    let rows = [("answer", "yes".to_owned()), ("stream", "no".to_owned())];
    let second = Table::read(&first).with("OpenCode", &rows);
    assert_eq!(second.column("Codex"), [("answer", "yes"), ("stream", UNKNOWN)]);
    assert_eq!(second.column("OpenCode"), [("answer", "yes"), ("stream", "no")]);
    let text = renewed(&first, &second);
    assert_eq!(Table::read(&text), second);
    assert!(text.starts_with("above\n") && text.ends_with("\nbelow\n"), "{text}");
}
