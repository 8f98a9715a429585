//! Who has which role: configured names tied to immutable account ids. Pure.
//!
//! Owns the rule that a name alone gives nothing. Must never look at display names, aliases or text.

use std::collections::{BTreeMap, HashMap};

use acg_config::{BaseRole, Person, RoleConfig};
use acg_types::{Role, Sender, UserId};

/// The configured names of one connector and the accounts they are bound to.
#[derive(Clone, Debug)]
pub(crate) struct Roster {
    /// The connector's own list.
    configured: Vec<Person>,
    /// Every name of any list: the connector's, and those that rooms have in its place.
    names: Vec<String>,
    bound: HashMap<String, UserId>,
    everyone_is_guest: bool,
    roles: BTreeMap<Role, RoleConfig>,
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
    /// `others`: the lists that rooms have in place of the connector's.
    pub(crate) fn new<'a>(
        people: &'a [Person],
        others: impl IntoIterator<Item = &'a [Person]>,
        everyone_is_guest: bool,
        roles: &BTreeMap<Role, RoleConfig>,
    ) -> Self {
        let all = people.iter().chain(others.into_iter().flatten());
        let mut names: Vec<String> = all.map(|person| person.username.clone()).collect();
        names.sort();
        names.dedup();
        let roles = roles.clone();
        Self { configured: people.to_vec(), names, bound: HashMap::new(), everyone_is_guest, roles }
    }

    /// The configured names.
    pub(crate) fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    pub(crate) fn bind(&mut self, username: &str, id: UserId) {
        self.bound.insert(username.to_owned(), id);
    }

    /// What a sender is in a room. `list`: that room's own list, which takes the place of the connector's.
    pub(crate) fn standing(&self, list: Option<&[Person]>, sender: &Sender) -> Standing {
        let list = list.unwrap_or(&self.configured);
        let by_id = list
            .iter()
            .filter(|person| self.bound.get(&person.username) == Some(&sender.id))
            // An account that holds two configured names has the stronger role.
            .max_by_key(|person| self.strength(&person.role));
        if let Some(person) = by_id {
            return Standing::Has(person.role.clone());
        }
        if list.iter().any(|person| person.username == sender.username)
            && !self.bound.contains_key(&sender.username)
        {
            return Standing::BindFirst;
        }
        if self.everyone_is_guest { Standing::Has(Role::guest()) } else { Standing::Nobody }
    }

    /// Whether anybody in a room may approve what `asker` (who has `role` there) asked for.
    pub(crate) fn anybody_approves(
        &self,
        list: Option<&[Person]>,
        asker: &Sender,
        role: &Role,
        four_eyes: bool,
    ) -> bool {
        let list = list.unwrap_or(&self.configured);
        // A name that no account was found for yet may turn out to be anybody's but the asker's own.
        let is_asker = |person: &Person| match self.bound.get(&person.username) {
            Some(id) => *id == asker.id,
            None => person.username == asker.username,
        };
        let listed =
            list.iter().any(|person| self.may_approve(&person.role) && !(four_eyes && is_asker(person)));
        let unlisted = self.everyone_is_guest && self.may_approve(&Role::guest());
        listed || unlisted || (!four_eyes && self.may_approve(role))
    }

    fn may_approve(&self, role: &Role) -> bool {
        self.roles.get(role).is_some_and(|config| config.may_approve)
    }

    fn strength(&self, role: &Role) -> (bool, bool) {
        let trusted = self.roles.get(role).is_some_and(|config| config.base == BaseRole::Owner);
        (role.is_owner(), trusted)
    }
}

#[cfg(test)]
mod tests {
    use acg_config::DayBudget;

    use super::*;

    fn sender(id: &str, username: &str) -> Sender {
        Sender { id: id.into(), username: username.into(), display_name: Some("alice".into()) }
    }

    fn roles() -> BTreeMap<Role, RoleConfig> {
        let role = |base, may_approve| RoleConfig {
            base,
            may_approve,
            timeout: None,
            max_waiting: None,
            budget: DayBudget::default(),
        };
        [
            (Role::owner(), role(BaseRole::Owner, true)),
            (Role::guest(), role(BaseRole::Guest, false)),
            (Role::new("lead"), role(BaseRole::Guest, true)),
            (Role::new("dev"), role(BaseRole::Owner, false)),
        ]
        .into()
    }

    /// A room's own list.
    fn list() -> Vec<Person> {
        let person = |username: &str, role| Person { username: username.into(), role };
        vec![person("gina", Role::new("lead")), person("dora", Role::new("dev"))]
    }

    fn roster(open: bool) -> Roster {
        let person = |username: &str, role| Person { username: username.into(), role };
        let people =
            [person("alice", Role::owner()), person("both", Role::owner()), person("gina", Role::guest())];
        let mut roster = Roster::new(&people, [&list()[..]], open, &roles());
        roster.bind("alice", "A".into());
        roster.bind("gina", "G".into());
        roster
    }

    #[test]
    fn roles_hang_on_the_account_not_on_the_name() {
        let roster = roster(false);
        assert_eq!(roster.standing(None, &sender("A", "alice")), Standing::Has(Role::owner()));
        assert_eq!(
            roster.standing(None, &sender("A", "renamed")),
            Standing::Has(Role::owner()),
            "renaming loses nothing"
        );
        assert_eq!(
            roster.standing(None, &sender("X", "alice")),
            Standing::Nobody,
            "a taken-over name gives nothing"
        );
        assert_eq!(roster.standing(None, &sender("G", "gina")), Standing::Has(Role::guest()));
        assert_eq!(roster.standing(None, &sender("X", "somebody")), Standing::Nobody);
    }

    #[test]
    fn a_name_never_seen_is_bound_to_its_first_holder() {
        let mut roster = roster(false);
        assert_eq!(roster.standing(None, &sender("B", "both")), Standing::BindFirst);
        roster.bind("both", "B".into());
        assert_eq!(roster.standing(None, &sender("B", "both")), Standing::Has(Role::owner()));
    }

    #[test]
    fn in_an_open_room_the_unlisted_are_guests_and_a_taken_over_name_is_too() {
        let roster = roster(true);
        assert_eq!(roster.standing(None, &sender("X", "somebody")), Standing::Has(Role::guest()));
        assert_eq!(roster.standing(None, &sender("X", "alice")), Standing::Has(Role::guest()));
    }

    #[test]
    fn an_empty_list_is_nobody() {
        let roster = Roster::new(&[], [], false, &roles());
        assert_eq!(roster.standing(None, &sender("A", "alice")), Standing::Nobody);
    }

    #[test]
    fn a_rooms_own_list_takes_the_place_of_the_connectors() {
        let mut roster = roster(false);
        assert_eq!(roster.names(), ["alice", "both", "dora", "gina"], "all are looked up");
        let list = list();
        let here = |roster: &Roster, id, name| roster.standing(Some(&list), &sender(id, name));
        assert_eq!(here(&roster, "A", "alice"), Standing::Nobody);
        assert_eq!(here(&roster, "G", "gina"), Standing::Has(Role::new("lead")));
        assert_eq!(here(&roster, "D", "dora"), Standing::BindFirst);
        roster.bind("dora", "D".into());
        assert_eq!(here(&roster, "D", "dora"), Standing::Has(Role::new("dev")));
        assert_eq!(roster.standing(None, &sender("D", "dora")), Standing::Nobody, "elsewhere nothing");
    }

    #[test]
    fn who_could_approve_is_known_before_anybody_is_asked() {
        let roster = roster(false);
        let approves = |list: Option<&[Person]>, id, name, role: &str, four_eyes| {
            roster.anybody_approves(list, &sender(id, name), &Role::new(role), four_eyes)
        };
        assert!(approves(None, "A", "alice", "owner", false));
        assert!(approves(None, "A", "alice", "owner", true), "there is another owner");
        let own = list();
        assert!(approves(Some(&own), "D", "dora", "dev", true));
        assert!(!approves(Some(&own), "G", "gina", "lead", true), "the only one is the asker");
        assert!(approves(Some(&own), "G", "gina", "lead", false));
        assert!(!approves(Some(&own[1..]), "D", "dora", "dev", false), "an empty list is nobody");
        assert!(!approves(Some(&[]), "G", "gina", "guest", false));
    }
}
