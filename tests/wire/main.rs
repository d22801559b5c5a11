//! The server as its clients see it: the real program is started and spoken to in bytes.
//!
//! Each test reads like a terminal session and is stamped on every engine that is compiled in. `server` starts
//! the program, `client` speaks; then a file per concern. Everything but `ours` and `hostile` holds for Redis 7.0.15
//! too:
//!
//! ```text
//! TALLYRING_TEST_PEER=/usr/bin/redis-server cargo test --test wire -- --skip ours:: --skip hostile:: --skip epoll_only::
//! ```

/// Stamps tests on every engine: `fn test(engine: Engine)` becomes `uring::test`, `tokio_uring::test` and
/// `epoll::test`.
macro_rules! on_every_engine {
    ($($test:ident),+ $(,)?) => {
        #[cfg(feature = "uring")]
        mod uring {
            $(#[test] fn $test() {
                let engine = crate::server::Engine::Uring;
                if engine.is_expected() {
                    super::$test(engine);
                }
            })+
        }
        #[cfg(feature = "tokio-uring")]
        mod tokio_uring {
            $(#[test] fn $test() {
                let engine = crate::server::Engine::TokioUring;
                if engine.is_expected() {
                    super::$test(engine);
                }
            })+
        }
        #[cfg(feature = "epoll")]
        mod epoll {
            $(#[test] fn $test() {
                let engine = crate::server::Engine::Epoll;
                if engine.is_expected() {
                    super::$test(engine);
                }
            })+
        }
    };
}

mod client;
mod server;

mod counters;
mod crowd;
mod delivery;
#[cfg(not(any(feature = "uring", feature = "tokio-uring")))]
mod epoll_only;
mod hostile;
mod introspection;
mod keys;
mod library;
mod lifecycle;
mod ours;
mod protocol_cases;
mod session;
mod strings;
