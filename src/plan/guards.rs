//! The guards of the protocol, as one value: constant outside tests, so that a test can show what breaks without each.

/// Each field is a rule of `docs/protocol.md`; `true` means that it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools)] // switches, not state
pub struct Guards {
    /// An open attempt is judged only when it is old: its create may still be under way.
    pub wait_until_old: bool,
    /// What a list lacks counts only when it was begun after the attempt was old, and is complete.
    pub list_after_old: bool,
    /// Before a client is abandoned its attempt is burnt on the object, so that a paused maker cannot record it.
    pub burn: bool,
    /// … and the Secret is read: what it holds is not deleted.
    pub read_before_delete: bool,
    /// … and fenced, so that a paused maker cannot deliver it.
    pub fence: bool,
    /// A client of an abandoned attempt is never recorded.
    pub refuse_abandoned: bool,
    /// After a conflict the Secret is read back: the conflict may be our own write, whose answer was lost.
    pub read_back: bool,
    /// A client is deleted or adopted only with the object's marker.
    pub check_marker: bool,
    /// Status says that the Secret is lost before a new attempt is intended.
    pub say_lost_first: bool,
    /// A missing client counts as gone only as the user who owned it, and when it is not young.
    pub prove_gone: bool,
    /// Against a client that status names as current, the Secret's word counts only when C1 shows the Secret's client.
    pub prove_takeover: bool,
    /// Before an attempt overwrites the Secret, status names all that the Secret holds or owes an end.
    pub name_owed: bool,
    /// A removal judges attempts by a list that was read for that very decision.
    pub list_for_removal: bool,
    /// … and only when all that C1 may show late has come to light.
    pub settle_for_removal: bool,
    /// A maker whose object goes, or is gone, deletes what it delivered.
    pub clean_up: bool,
    /// A move that is under way is begun again only when it is old: its copy may be about to be recorded.
    pub wait_for_move: bool,
}

impl Guards {
    /// All of them.
    pub const ALL: Self = Self {
        wait_until_old: true,
        list_after_old: true,
        burn: true,
        read_before_delete: true,
        fence: true,
        refuse_abandoned: true,
        read_back: true,
        check_marker: true,
        say_lost_first: true,
        prove_gone: true,
        prove_takeover: true,
        name_owed: true,
        list_for_removal: true,
        settle_for_removal: true,
        clean_up: true,
        wait_for_move: true,
    };
}
