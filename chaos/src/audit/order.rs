//! The messages of a conversation are answered in the order in which they were said.

use std::collections::BTreeSet;

use super::{Asked, Post, Report, Scene, Violation};

pub(super) fn check(scene: &Scene<'_>, report: &mut Report) {
    let swapped: BTreeSet<(&str, &str)> =
        scene.seen.swapped.iter().map(|(first, second)| (first.as_str(), second.as_str())).collect();
    for ((room, _), marks) in &scene.conversations {
        let answered: Vec<(&Asked<'_>, usize)> =
            marks.iter().filter_map(|mark| Some((&scene.asked[mark], scene.answered_at(mark)?))).collect();
        // What was said before a message and is answered after it. Neighbours would be enough to find that something
        // is wrong, but a fault may have changed their places, and then others must still be looked at.
        for (place, (second, at)) in answered.iter().enumerate() {
            for (first, first_at) in &answered[..place] {
                if first_at > at && !either_way(&swapped, first, second) {
                    report.add(Violation::OutOfOrder {
                        room: (*room).to_owned(),
                        first: first.mark.clone(),
                        second: second.mark.clone(),
                    });
                }
            }
        }
    }
}

/// Whether faults have left a conversation without an order that everybody agrees on.
pub(super) fn nobody_can_tell(scene: &Scene<'_>, marks: &[String]) -> bool {
    let posts: Vec<&Post> = marks.iter().map(|mark| scene.asked[mark].post).collect();
    let swapped = |id: &str| scene.seen.swapped.iter().any(|(first, second)| first == id || second == id);
    !posts.is_sorted_by(|first, second| first.at < second.at) || posts.iter().any(|post| swapped(&post.id))
}

/// Whether nobody can say which came first: their frames changed places on the way, or the server's clock, by which
/// a room is read after a gap, says otherwise than the server's list.
fn either_way(swapped: &BTreeSet<(&str, &str)>, first: &Asked<'_>, second: &Asked<'_>) -> bool {
    swapped.contains(&(first.post.id.as_str(), second.post.id.as_str())) || second.post.at <= first.post.at
}
