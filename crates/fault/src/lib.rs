//! Places on the way of a message where a test may kill the program, and faults that a test may plant in it.
//!
//! Owns the list of both. Without the feature `on` every call here is empty and compiles to nothing: the program that
//! is released has no way to be told to fail. Must never be called with anything that costs time to make.
//!
//! With the feature, the environment says what happens:
//!
//! * `ACG_FAULT_KILL=inbox_committed@3`: the third time that this point is reached, the program kills itself
//!   (SIGKILL), at that instruction. Without `@n`: the first time.
//! * `ACG_FAULT_LOG=FILE`: every point that is reached is a line of this file.
//! * `ACG_FAULT_PLANT=no_dedupe,new_id_per_attempt`: these faults are in the program.

#[cfg(feature = "on")]
mod on;

/// Makes an enum whose variants have names for the environment and the logs.
macro_rules! names {
    ($(#[$meta:meta])* $name:ident { $($(#[$note:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$note])* $variant,)+
        }

        impl $name {
            /// All of them, in the order in which a message meets them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name in the environment and in logs.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

names! {
    /// A step of the way of a message. The program may be killed right there.
    Point {
        /// A frame with a message has come from the platform; nothing was done with it.
        FrameReceived = "frame_received",
        /// It has become a message of ours; nothing was stored.
        Normalised = "normalised",
        /// The message is in the inbox; the connector does not know yet.
        InboxCommitted = "inbox_committed",
        /// The mark up to which a room was read is stored, apart from any message.
        CursorMoved = "cursor_moved",
        /// Its turn has begun; the agent knows nothing.
        TurnStarted = "turn_started",
        /// The id of a new session is stored; the agent was never told.
        SessionStored = "session_stored",
        /// The turn counts as having reached the agent; the prompt was not written.
        PromptStored = "prompt_stored",
        /// The prompt was handed over.
        Prompted = "prompted",
        /// The agent has begun to answer.
        FirstAgentEvent = "first_agent_event",
        /// A tool call waits for people; they are not asked yet.
        ApprovalAsked = "approval_asked",
        /// A person has decided; the agent was not told.
        ApprovalSettled = "approval_settled",
        /// The decision counts as used; the agent was not told.
        ApprovalUsed = "approval_used",
        /// The whole answer is there; nothing of it is stored.
        TurnEnding = "turn_ending",
        /// The turn has ended and its answer is in the outbox.
        TurnEnded = "turn_ended",
        /// An attempt to post is stored; nothing was sent.
        AttemptStored = "attempt_stored",
        /// The platform has taken the post; that is not stored.
        PostConfirmed = "post_confirmed",
        /// The post counts as sent.
        PostStored = "post_stored",
        /// The same, for a word of the gateway itself.
        NoticePosted = "notice_posted",
    }
}

names! {
    /// A fault that a test plants, to see that it would be found.
    Plant {
        /// A room's mark moves on before the message is stored.
        AcknowledgeBeforeCommit = "acknowledge_before_commit",
        /// A message that comes twice is taken for two.
        NoDedupe = "no_dedupe",
        /// A repeated post has another id than the first.
        NewIdPerAttempt = "new_id_per_attempt",
        /// Parts of one answer are posted the wrong way round.
        OutboxOutOfOrder = "outbox_out_of_order",
        /// A person's decision counts for as many calls as like to use it.
        ApprovalUsedTwice = "approval_used_twice",
    }
}

/// Marks a step of the way. With the feature the program may end here.
#[inline]
pub fn point(point: Point) {
    #[cfg(feature = "on")]
    on::reached(point);
    #[cfg(not(feature = "on"))]
    let _ = point;
}

/// Whether a fault is planted; never without the feature.
#[inline]
#[must_use]
pub fn planted(plant: Plant) -> bool {
    #[cfg(feature = "on")]
    return on::planted(plant);
    #[cfg(not(feature = "on"))]
    {
        let _ = plant;
        false
    }
}
