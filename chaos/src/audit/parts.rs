//! Every answer whole, once, its parts in order, and where it belongs.

use super::words::{self, Kind};
use super::{Found, Report, Scene, Violation};

pub(super) fn check(scene: &Scene<'_>, report: &mut Report) {
    for (mark, found) in &scene.answers {
        let mark = mark.clone();
        let Some(asked) = scene.asked.get(&mark) else {
            report.add(Violation::Invented { mark });
            continue;
        };
        let fits = |at: usize| {
            let post = &scene.seen.posts[at];
            post.room == asked.post.room && post.thread == asked.post.thread
        };
        if !found.iter().all(|found| fits(found.at)) {
            report.add(Violation::Misplaced { mark: mark.clone() });
        }
        let mut wanted = words::wanted(&asked.tasks);
        let mut have: Vec<_> = found.iter().map(|found| found.sign).collect();
        let in_order = have == wanted;
        wanted.sort();
        have.sort();
        let count = |of: &[words::Sign], sign| of.iter().filter(|other| **other == sign).count();
        let doubled = have.iter().find(|sign| count(&have, **sign) > count(&wanted, **sign));
        let missing = wanted.iter().any(|sign| count(&have, *sign) < count(&wanted, *sign));
        if let Some(sign) = doubled {
            report.add(Violation::Doubled { mark, times: count(&have, *sign) });
        } else if missing && said_to_be_cut_off(scene, found) {
            report.counts.cut_off += 1;
        } else if missing {
            report.add(Violation::Half { mark, have: have.len(), of: wanted.len() });
        } else if !in_order {
            report.add(Violation::PartsOutOfOrder { mark });
        }
    }
}

/// Whether the next thing the gateway said there, beside questions and asides, is that the turn ended badly.
fn said_to_be_cut_off(scene: &Scene<'_>, found: &[Found]) -> bool {
    let Some(last) = found.iter().map(|found| found.at).max() else { return false };
    let posts = &scene.seen.posts;
    let place = (&posts[last].room, &posts[last].thread);
    posts[last + 1..]
        .iter()
        .filter(|post| post.ours && (&post.room, &post.thread) == place)
        .map(|post| words::kind(&post.text))
        .find(|kind| matches!(kind, Kind::Answer | Kind::Ended))
        == Some(Kind::Ended)
}
