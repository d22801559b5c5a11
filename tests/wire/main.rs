//! The server as its clients see it: the real program is started and spoken to in bytes.
//!
//! Each test reads like a terminal session and is stamped on every engine that is compiled in. `server` starts
//! the program, `client` speaks; then a file per concern. Everything but `admin`, `ours`, `examples`, `hostile`, `ladder`, `limits`,
//! `logs`, `rewrite`, `snapshots`, `tls` and what begins with `hdr_` holds for Redis 7.0.15 too:
//!
//! ```text
//! TALLYRING_TEST_PEER=/usr/bin/redis-server cargo test --test wire -- --skip admin:: --skip hdr_ --skip logs:: \
//!     --skip ours:: --skip examples:: --skip hostile:: --skip ladder:: --skip rewrite:: --skip snapshots:: --skip tls:: \
//!     --skip epoll_only::
//! ```

/// Stamps tests on one engine, in a module of its own.
macro_rules! on_engine {
    ($module:ident, $engine:ident, $($test:ident),+ $(,)?) => {
        mod $module {
            $(#[test] fn $test() {
                let engine = crate::server::Engine::$engine;
                if engine.is_expected() {
                    super::$test(engine);
                }
            })+
        }
    };
}

/// Stamps tests on every engine: `fn test(engine: Engine)` becomes `uring::test`, `uring_fixed::test`,
/// `tokio_uring::test` and `epoll::test`.
macro_rules! on_every_engine {
    ($($test:ident),+ $(,)?) => {
        #[cfg(feature = "uring")]
        on_engine!(uring, Uring, $($test),+);
        #[cfg(feature = "uring")]
        on_engine!(uring_fixed, UringFixed, $($test),+);
        #[cfg(feature = "tokio-uring")]
        on_engine!(tokio_uring, TokioUring, $($test),+);
        #[cfg(feature = "epoll")]
        on_engine!(epoll, Epoll, $($test),+);
    };
}

/// Stamps tests on every engine, and on those rungs of the ring's ladder that this kernel is too good for.
macro_rules! on_every_engine_and_rung {
    ($($test:ident),+ $(,)?) => {
        on_every_engine!($($test),+);
        #[cfg(feature = "uring")]
        on_engine!(uring_coop, UringCoop, $($test),+);
        #[cfg(feature = "uring")]
        on_engine!(uring_oneshot, UringOneshot, $($test),+);
    };
}

/// Stamps tests on all of these, and on a ring of very few entries.
macro_rules! on_every_ring {
    ($($test:ident),+ $(,)?) => {
        on_every_engine_and_rung!($($test),+);
        #[cfg(feature = "uring")]
        on_engine!(uring_tiny, UringTiny, $($test),+);
    };
}

mod client;
mod server;

mod acl;
mod admin;
mod counters;
mod crowd;
mod delivery;
mod differential;
#[cfg(not(any(feature = "uring", feature = "tokio-uring")))]
mod epoll_only;
mod examples;
#[cfg(any(all(feature = "uring", feature = "epoll"), not(any(feature = "uring", feature = "tokio-uring"))))]
mod filter;
mod flow;
mod golden;
mod hashes;
mod hostile;
mod introspection;
mod keys;
mod keyspace;
#[cfg(all(feature = "uring", feature = "epoll"))]
mod ladder;
mod latency;
mod library;
mod lifecycle;
mod limits;
mod logs;
mod memory;
mod monitor;
mod ours;
mod protocol_cases;
mod rewrite;
mod session;
mod slow;
mod snapshots;
mod strings;
mod tls;
mod transactions;
