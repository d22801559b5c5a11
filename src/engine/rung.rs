//! The ladder of kernel features that a ring can stand on, as names. Which one holds is found out elsewhere.

/// What the engine on the ring asks of the kernel, the best first. What a rung lacks it does without; everything else
/// is asked of each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// Completions are worked off when we ask for them (6.1); a receive stays armed (6.0).
    Defer,
    /// Completions are worked off at the next system call (5.19); a receive stays armed (6.0).
    Coop,
    /// Completions are worked off at the next system call, and a receive is armed anew for each block (5.19).
    Oneshot,
}

impl Rung {
    /// All rungs, in the order in which they are tried.
    pub const ALL: [Self; 3] = [Self::Defer, Self::Coop, Self::Oneshot];

    /// What the start-up line and INFO call it, by how its receives get their blocks.
    pub fn name(self, supply: Supply) -> &'static str {
        match (self, supply) {
            (Self::Defer, Supply::Shared) => "defer-taskrun multishot",
            (Self::Coop, Supply::Shared) => "coop-taskrun multishot",
            (Self::Oneshot, Supply::Shared) => "coop-taskrun one-shot",
            (Self::Defer, Supply::Fixed) => "defer-taskrun fixed",
            (Self::Coop | Self::Oneshot, Supply::Fixed) => "coop-taskrun fixed",
        }
    }

    /// The first kernel that has it.
    pub fn since(self) -> &'static str {
        match self {
            Self::Defer => "6.1",
            Self::Coop => "6.0",
            Self::Oneshot => "5.19",
        }
    }
}

/// How a ring's receives get their blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Supply {
    /// From all connections' common blocks, when bytes arrive.
    #[default]
    Shared,
    /// Each connection has a registered block of its own, which it reads into again when its replies have left.
    Fixed,
}
