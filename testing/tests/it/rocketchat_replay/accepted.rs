//! Differences from the real server that are accepted, each with its reason. An entry without use fails the test.

use super::compare::Accepted;

const fn entry(
    place: &'static str,
    field: &'static str,
    kind: &'static str,
    reason: &'static str,
) -> Accepted {
    Accepted { place, field, kind, reason }
}

pub(crate) const ACCEPTED: &[Accepted] = &[
    entry("*", ".image_dimensions", "missing", "pictures are not decoded"),
    entry("*", ".image_preview", "missing", "pictures are not decoded"),
    entry("*", ".avatarOrigin", "missing", "the real administrator was made by the set-up wizard"),
    entry("*", ".statusDefault", "missing", "the real administrator was made by the set-up wizard"),
    entry("*", ".utcOffset", "missing", "the real administrator was made by the set-up wizard"),
    entry("*", ".services.email2fa", "extra", "the real administrator was made by the set-up wizard"),
    entry("GET channels.list", "", "any", "the real server had rooms of earlier runs, and they came first"),
    entry("GET users.list", ".total", "differs", "the real server had users of earlier runs"),
    entry("GET commands.list", "", "any", "of the slash commands only shrug is modelled"),
    entry("GET permissions.listAll", "", "any", "permissions are not modelled, roles are asked instead"),
    entry("GET nope", ".body", "differs", "the web client's page is not served, only something in HTML"),
    entry("GET users.getPersonalAccessTokens", ".lastTokenPart", "differs", "tokens are random"),
    entry(
        "ping",
        "frames",
        "differs",
        "the replay does not wait as the recording did; the heartbeat has its own test",
    ),
    entry("result", ".timeToReset", "differs", "depends on the millisecond of the call"),
    entry(
        "stream-notify-user rooms-changed",
        ".msgs",
        "differs",
        "the real server read the room for the event after the next change had been made already",
    ),
];
