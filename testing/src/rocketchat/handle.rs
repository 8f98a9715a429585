//! The world as tests hold it: every call locks, acts at the server's time, and tells the connections.

use super::shared::Shared;
use super::world::{AddUser, Message, Say, World};

/// A handle to the world of a running server. Ids are the server's own strings.
#[derive(Debug, Clone, Copy)]
pub struct WorldHandle<'a> {
    shared: &'a Shared,
}

impl<'a> WorldHandle<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self { shared }
    }

    /// Runs with the world itself, for whatever has no shortcut here.
    pub fn with<T>(&self, run: impl FnOnce(&mut World) -> T) -> T {
        self.shared.with(|core| run(&mut core.world))
    }

    /// Makes a user; gives the id.
    pub fn add_user(&self, username: &str, add: AddUser) -> String {
        self.with(|world| world.add_user(username, add))
    }

    /// Makes a login token (90 days).
    pub fn login_token(&self, user: &str) -> String {
        self.with(|world| world.login_token(user))
    }

    /// Makes a personal access token.
    pub fn personal_token(&self, user: &str, name: &str) -> String {
        self.with(|world| world.personal_token(user, name))
    }

    /// Makes a login token that has expired.
    pub fn expired_token(&self, user: &str) -> String {
        self.with(|world| world.expired_token(user))
    }

    /// Kills a token: its sockets close with 1000 and no word.
    pub fn revoke_token(&self, token: &str) -> bool {
        self.with(|world| world.revoke_token(token))
    }

    /// Makes a public channel; the first member owns it.
    pub fn add_channel(&self, name: &str, members: &[&str]) -> String {
        self.with(|world| world.add_channel(name, members))
    }

    /// Makes a private group; the first member owns it.
    pub fn add_group(&self, name: &str, members: &[&str]) -> String {
        self.with(|world| world.add_group(name, members))
    }

    /// Finds or makes a direct room; `&[user]` is the room with oneself.
    pub fn add_dm(&self, members: &[&str]) -> String {
        self.with(|world| world.add_dm(members))
    }

    /// Makes a discussion; the first member owns it.
    pub fn add_discussion(&self, parent: &str, title: &str, members: &[&str]) -> String {
        self.with(|world| world.add_discussion(parent, title, members))
    }

    /// Puts a user into a room.
    pub fn join(&self, room: &str, user: &str) {
        self.with(|world| world.join(room, user));
    }

    /// Throws a user out of a room.
    pub fn kick(&self, room: &str, user: &str, by: &str) {
        self.with(|world| world.kick(room, user, by));
    }

    /// Says something; gives the message's id.
    pub fn say(&self, user: &str, room: &str, text: &str) -> String {
        self.with(|world| world.say(user, room, text))
    }

    /// Says something with all its details; gives the message's id.
    pub fn say_with(&self, user: &str, room: &str, say: Say) -> String {
        self.with(|world| world.say_with(user, room, say))
    }

    /// Edits a message as its author.
    pub fn edit(&self, message: &str, text: &str) {
        self.with(|world| world.edit(message, text));
    }

    /// Deletes a message.
    pub fn delete(&self, message: &str) {
        self.with(|world| world.delete(message));
    }

    /// Adds a reaction (`:eyes:` or `eyes`): the message is sent again with a new `_updatedAt`.
    pub fn react(&self, user: &str, message: &str, emoji: &str) {
        self.with(|world| world.react(user, message, emoji));
    }

    /// Takes a reaction back.
    pub fn unreact(&self, user: &str, message: &str, emoji: &str) {
        self.with(|world| world.unreact(user, message, emoji));
    }

    /// Puts a file into a room from the user's own client; `say` gives the words and the thread. Gives the
    /// message's id.
    pub fn upload(&self, user: &str, room: &str, name: &str, kind: &str, bytes: &[u8], say: Say) -> String {
        self.with(|world| world.upload(user, room, name, kind, bytes, say))
    }

    /// Gives an account another username: the id stays, and the old name is free for somebody else. Reactions keep
    /// the old name, as on the real server.
    pub fn rename_user(&self, user: &str, username: &str) {
        self.with(|world| world.rename_user(user, username));
    }

    /// Pins a message.
    pub fn pin(&self, user: &str, message: &str) {
        self.with(|world| world.pin(user, message));
    }

    /// Every message of a room, oldest first.
    pub fn messages(&self, room: &str) -> Vec<Message> {
        self.with(|world| world.messages(room))
    }

    /// Sets the REST limit and forgets what was counted; 0 calls switches it off.
    pub fn set_rest_limit(&self, calls: u32, window_ms: i64) {
        self.with(|world| world.set_rest_limit(calls, window_ms));
    }
}
