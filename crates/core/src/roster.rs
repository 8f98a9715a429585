//! Who has which role: configured names tied to immutable account ids. Pure.
//!
//! Owns the rule that a name alone gives nothing. Must never look at display names, aliases or text.

use std::collections::HashMap;

use acg_config::Person;
use acg_types::{Role, Sender, UserId};

/// The configured names of one connector and the accounts they are bound to.
#[derive(Clone, Debug)]
pub(crate) struct Roster {
    configured: HashMap<String, Role>,
    bound: HashMap<String, UserId>,
    everyone_is_guest: bool,
}

/// What the roster says of a sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// This role.
    Has(Role),
    /// The name is configured and was never bound: bind it to this account, then ask again.
    BindFirst,
    /// No role here.
    Nobody,
}

impl Roster {
    pub(crate) fn new(people: &[Person], everyone_is_guest: bool) -> Self {
        let configured = people.iter().map(|person| (person.username.clone(), person.role.clone())).collect();
        Self { configured, bound: HashMap::new(), everyone_is_guest }
    }

    /// The configured names.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.configured.keys().cloned().collect();
        names.sort();
        names
    }

    pub(crate) fn bind(&mut self, username: &str, id: UserId) {
        self.bound.insert(username.to_owned(), id);
    }

    pub(crate) fn standing(&self, sender: &Sender) -> Standing {
        let by_id = self
            .bound
            .iter()
            .filter(|(_, id)| **id == sender.id)
            .filter_map(|(name, _)| self.configured.get(name))
            // An account that holds two configured names has the stronger role.
            .max_by_key(|role| role.is_owner());
        if let Some(role) = by_id {
            return Standing::Has(role.clone());
        }
        if self.configured.contains_key(&sender.username) && !self.bound.contains_key(&sender.username) {
            return Standing::BindFirst;
        }
        if self.everyone_is_guest { Standing::Has(Role::guest()) } else { Standing::Nobody }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(id: &str, username: &str) -> Sender {
        Sender { id: id.into(), username: username.into(), display_name: Some("alice".into()) }
    }

    fn roster(open: bool) -> Roster {
        let person = |username: &str, role| Person { username: username.into(), role };
        let mut roster = Roster::new(
            &[person("alice", Role::owner()), person("both", Role::owner()), person("gina", Role::guest())],
            open,
        );
        roster.bind("alice", "A".into());
        roster.bind("gina", "G".into());
        roster
    }

    #[test]
    fn roles_hang_on_the_account_not_on_the_name() {
        let roster = roster(false);
        assert_eq!(roster.standing(&sender("A", "alice")), Standing::Has(Role::owner()));
        assert_eq!(
            roster.standing(&sender("A", "renamed")),
            Standing::Has(Role::owner()),
            "renaming loses nothing"
        );
        assert_eq!(
            roster.standing(&sender("X", "alice")),
            Standing::Nobody,
            "a taken-over name gives nothing"
        );
        assert_eq!(roster.standing(&sender("G", "gina")), Standing::Has(Role::guest()));
        assert_eq!(roster.standing(&sender("X", "somebody")), Standing::Nobody);
    }

    #[test]
    fn a_name_never_seen_is_bound_to_its_first_holder() {
        let mut roster = roster(false);
        assert_eq!(roster.standing(&sender("B", "both")), Standing::BindFirst);
        roster.bind("both", "B".into());
        assert_eq!(roster.standing(&sender("B", "both")), Standing::Has(Role::owner()));
    }

    #[test]
    fn in_an_open_room_the_unlisted_are_guests_and_a_taken_over_name_is_too() {
        let roster = roster(true);
        assert_eq!(roster.standing(&sender("X", "somebody")), Standing::Has(Role::guest()));
        assert_eq!(roster.standing(&sender("X", "alice")), Standing::Has(Role::guest()));
    }

    #[test]
    fn an_empty_list_is_nobody() {
        let roster = Roster::new(&[], false);
        assert_eq!(roster.standing(&sender("A", "alice")), Standing::Nobody);
    }
}
