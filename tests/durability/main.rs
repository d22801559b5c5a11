//! What the server promises about what it acknowledged, held against death of the process, loss of power, frozen, full
//! and failing disks. The real program is started on a real directory, and started again on what is left of it.
//!
//! `load` has clients that know what they are owed; `place` has directories and file systems that can be broken; then a
//! file per fault. Every run prints its seed, and a directory that something was found in is kept and named.
//!
//! | variable | meaning |
//! |---|---|
//! | `TALLYRING_KILL_CYCLES=100` | kills of each engine and mode, instead of a few |
//! | `TALLYRING_POWER_CYCLES=100` | losses of power of each mode, instead of a few |
//! | `TALLYRING_STEP_CYCLES=3` | deaths at each step in so many modes, where there are as many, instead of in one |
//! | `TALLYRING_FAULT_SEED=7` | the seed of all campaigns, instead of one from the clock |
//! | `CI=1` | what cannot run here, as it needs root, fails instead of saying so |

/// Stamps tests on one engine, in a module of its own.
macro_rules! on_engine {
    ($module:ident, $engine:ident, $($(#[$attribute:meta])* $test:ident),+ $(,)?) => {
        mod $module {
            $(#[test] $(#[$attribute])* fn $test() {
                let engine = crate::server::Engine::$engine;
                if engine.is_expected() {
                    super::$test(engine);
                }
            })+
        }
    };
}

/// Stamps tests on the ring's engine and on epoll's.
macro_rules! on_both_engines {
    ($($(#[$attribute:meta])* $test:ident),+ $(,)?) => {
        #[cfg(feature = "uring")]
        on_engine!(uring, Uring, $($(#[$attribute])* $test),+);
        #[cfg(feature = "epoll")]
        on_engine!(epoll, Epoll, $($(#[$attribute])* $test),+);
    };
}

#[path = "../wire/client.rs"]
#[expect(dead_code, reason = "shared with the wire tests, which use more of it")]
mod client;
#[path = "../wire/server.rs"]
#[expect(dead_code, reason = "shared with the wire tests, which use more of it")]
mod server;

mod load;
mod model;
mod place;

mod ends;
mod frozen;
mod full;
mod kill;
mod limit;
mod long;
mod power;
#[cfg(debug_assertions)]
mod steps;
mod sync;
