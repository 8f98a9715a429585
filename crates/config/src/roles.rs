//! `roles:`: the two that are always there, what the file changes of them, and further ones.
//!
//! Owns names of roles and what they inherit. Must never make a role more than it descends from unless the file says
//! so in as many words.

use std::collections::BTreeMap;
use std::time::Duration;

use acg_policy::Rule;
use acg_types::Role;

use crate::budget;
use crate::check::check;
use crate::context::Context;
use crate::diagnostic::DiagnosticKind;
use crate::keys;
use crate::model::{BaseRole, DayBudget, RoleConfig};
use crate::node::{Mark, Node};
use crate::rules::{Presets, Written};
use crate::section::{Section, nearest};

/// Most roles.
const MAX_ROLES: usize = 100;
/// Longest name of a role, in bytes.
const MAX_NAME: usize = 40;

/// Every role.
pub(crate) struct Roles {
    map: BTreeMap<Role, Entry>,
    guests_may_do_anything: bool,
}

/// One role as the file has it; what it does not say is inherited.
#[derive(Default)]
struct Entry {
    /// The role it inherits from; `None` for the two that are always there.
    parent: Option<Role>,
    may_approve: Option<bool>,
    may_ask: Option<bool>,
    timeout: Option<Duration>,
    max_waiting: Option<u32>,
    budget: DayBudget,
    rules: Vec<Written>,
    /// Where it is written.
    at: Mark,
}

impl Roles {
    pub(crate) fn read(top: &Section<'_>, presets: &Presets) -> Self {
        let built_in =
            |allowed| Entry { may_approve: Some(allowed), may_ask: Some(allowed), ..Entry::default() };
        let map = BTreeMap::from([(Role::owner(), built_in(true)), (Role::guest(), built_in(false))]);
        let guests_may_do_anything = top.bool("guests_may_do_anything").unwrap_or(false);
        let mut roles = Self { map, guests_may_do_anything };
        let section = top.section("roles");
        let entries = section.node.and_then(Node::entries).unwrap_or_default();
        if entries.len() > MAX_ROLES {
            section.context.error(
                section.at,
                "roles",
                DiagnosticKind::Value,
                format!("more than {MAX_ROLES} roles."),
            );
            return roles;
        }
        for entry in entries {
            let (name, path) = (&*entry.key, format!("roles.{}", entry.key));
            if let Some(reason) = bad_name(name) {
                let message = format!("'{name}' cannot be the name of a role: {reason}.");
                section.context.error(entry.at, &path, DiagnosticKind::Value, message);
                continue;
            }
            let role = Section::of(section.context, Some(&entry.value), entry.at, path);
            check(&role, &[keys::ROLE]);
            roles.add(name, &role, entry.at, presets);
        }
        roles.check_parents(section.context);
        for (role, entry) in &roles.map {
            roles.refuse_boundless(section.context, role, &entry.rules);
        }
        roles
    }

    fn add(&mut self, name: &str, section: &Section<'_>, at: Mark, presets: &Presets) {
        let role = Role::new(name);
        let rules = presets.rules(section, &format!("Role '{name}'"), "allowed_tools");
        let limits = section.section("limits");
        let timeout = limits.duration("timeout");
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            limits.error("timeout", "'timeout' must be greater than 0.", None);
        }
        let built_in = self.map.remove(&role);
        let parent = section.str("inherits");
        if built_in.is_some() && parent.is_some() {
            section.error(
                "inherits",
                &format!("'{name}' is one of the two roles that inherit from no other."),
                None,
            );
        }
        let entry = Entry {
            parent: built_in.is_none().then(|| parent.map_or_else(Role::guest, Role::new)),
            may_approve: section.bool("may_approve").or_else(|| built_in.as_ref()?.may_approve),
            may_ask: section.bool("may_ask").or_else(|| built_in.as_ref()?.may_ask),
            timeout,
            max_waiting: limits.u32("max_waiting"),
            budget: budget::read(&limits),
            rules,
            at,
        };
        self.map.insert(role, entry);
    }

    /// Tells every role that inherits from none, or from itself.
    fn check_parents(&mut self, context: &Context<'_>) {
        let mut lost = Vec::new();
        for (role, entry) in &self.map {
            let path = format!("roles.{role}.inherits");
            let Some(parent) = &entry.parent else { continue };
            if !self.map.contains_key(parent) {
                let known: Vec<&str> =
                    self.all().map(Role::as_str).filter(|known| *known != role.as_str()).collect();
                let message = format!(
                    "Role '{role}' inherits from unknown role '{parent}' (known: {}).",
                    known.join(", ")
                );
                let help =
                    nearest(parent.as_str(), known.into_iter()).map(|near| format!("did you mean '{near}'?"));
                context.error_help(entry.at, &path, DiagnosticKind::Reference, message, help);
                lost.push(role.clone());
            } else if let Some(circle) = self.circle(role) {
                let message = format!("Role '{role}' inherits in a circle: {circle}.");
                let help = "let one of them inherit from owner or guest".to_owned();
                context.error_help(entry.at, &path, DiagnosticKind::Reference, message, Some(help));
                lost.push(role.clone());
            }
        }
        // So that what reads on comes to an end. The configuration is refused anyway.
        for role in lost {
            if let Some(entry) = self.map.get_mut(&role) {
                entry.parent = Some(Role::guest());
            }
        }
    }

    /// The circle that a role is part of, in words.
    fn circle(&self, start: &Role) -> Option<String> {
        let mut path = vec![start];
        let mut role = start;
        while let Some(parent) = self.map.get(role).and_then(|entry| entry.parent.as_ref()) {
            if parent == start {
                path.push(start);
                return Some(path.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(" → "));
            }
            if path.contains(&parent) {
                return None;
            }
            path.push(parent);
            role = parent;
        }
        None
    }

    /// The role itself, then what it inherits from, up to owner or guest.
    pub(crate) fn lineage<'r>(&'r self, role: &'r Role) -> impl Iterator<Item = &'r Role> {
        std::iter::successors(Some(role), |role| self.map.get(role)?.parent.as_ref()).take(MAX_ROLES + 2)
    }

    fn inherited<T>(&self, role: &Role, of: impl Fn(&Entry) -> Option<T>) -> Option<T> {
        self.lineage(role).find_map(|role| of(self.map.get(role)?))
    }

    /// Every role.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Role> {
        self.map.keys()
    }

    /// Every role but owner and guest.
    pub(crate) fn further(&self) -> impl Iterator<Item = &str> {
        self.map.iter().filter(|(_, entry)| entry.parent.is_some()).map(|(role, _)| role.as_str())
    }

    pub(crate) fn is_further(&self, name: &str) -> bool {
        self.map.get(&Role::new(name)).is_some_and(|entry| entry.parent.is_some())
    }

    pub(crate) fn is_known(&self, name: &str) -> bool {
        self.map.contains_key(&Role::new(name))
    }

    pub(crate) fn base(&self, role: &Role) -> BaseRole {
        let is_owner = self.lineage(role).last().is_some_and(Role::is_owner);
        if is_owner { BaseRole::Owner } else { BaseRole::Guest }
    }

    pub(crate) fn may_ask(&self, role: &Role) -> bool {
        self.inherited(role, |entry| entry.may_ask).unwrap_or(false)
    }

    /// The role's own rules, for every agent.
    pub(crate) fn rules(&self, role: &Role) -> impl Iterator<Item = &Rule> {
        self.map.get(role).into_iter().flat_map(|entry| entry.rules.iter().map(|written| &written.rule))
    }

    /// Tells every rule that allows everything to people who are not trusted.
    pub(crate) fn refuse_boundless(&self, context: &Context<'_>, role: &Role, rules: &[Written]) {
        if self.guests_may_do_anything || self.base(role) == BaseRole::Owner {
            return;
        }
        for Written { rule, at, path } in rules {
            let Some(what) = rule.allows_everything() else { continue };
            let whom = match role.as_str() {
                "guest" => "guests".to_owned(),
                name => format!("role '{name}', which descends from guest,"),
            };
            let message = format!("the rule '{rule}' allows {whom} {what}.");
            let help =
                "name the tools and parameters that they need, or say 'guests_may_do_anything: true' at the \
                        top of the file"
                    .to_owned();
            context.error_help(*at, path, DiagnosticKind::Value, message, Some(help));
        }
    }

    pub(crate) fn configs(&self) -> BTreeMap<Role, RoleConfig> {
        self.all()
            .map(|role| {
                let config = RoleConfig {
                    base: self.base(role),
                    may_approve: self.inherited(role, |entry| entry.may_approve).unwrap_or(false),
                    timeout: self.inherited(role, |entry| entry.timeout),
                    max_waiting: self.inherited(role, |entry| entry.max_waiting),
                    budget: DayBudget {
                        micro_usd: self.inherited(role, |entry| entry.budget.micro_usd),
                        tokens: self.inherited(role, |entry| entry.budget.tokens),
                    },
                };
                (role.clone(), config)
            })
            .collect()
    }
}

/// Why a text cannot name a role. Names are keys of `allowed_users:`, and appear in prompts and notices.
fn bad_name(name: &str) -> Option<&'static str> {
    if [keys::OWNERS, keys::GUESTS].contains(&name) {
        return Some(
            "in 'allowed_users' that is the list of owners or guests; the roles are 'owner' and 'guest'",
        );
    }
    let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    if !begins || name.len() > MAX_NAME || !name.bytes().all(plain) {
        return Some("it must be a-z, 0-9, '_' and '-', begin with a letter, and have at most 40 characters");
    }
    None
}
