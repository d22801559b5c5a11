//! The admin interface: metrics, health and a dashboard over HTTP, on a thread and ports of its own. Knows what a
//! [`Source`] tells it; serves no client of the protocol, and nothing here is waited for by one.
//!
//! | path | what | for whom |
//! |---|---|---|
//! | `/` | the dashboard; a page without figures | everybody |
//! | `/healthz` `/readyz` | whether workers and journal get on, and whether clients are served | everybody |
//! | `/metrics` `/stats.json` `/latency.json` | figures | whom [`Access`] lets in |

mod access;
mod exposition;
mod json;
mod pages;
mod routes;
mod serve;
mod source;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::runtime::Builder;
use tokio::sync::oneshot;

pub use access::Access;
pub use source::{
    CommandReading, Counts, Keys, Memory, Persistence, Process, Reading, Source, Standing, WorkerReading,
};

/// The thread.
#[derive(Debug)]
pub struct Admin {
    thread: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Admin {
    /// Serves on these sockets, which do not block, until [`Admin::end`].
    pub fn start(listeners: Vec<TcpListener>, source: Arc<dyn Source>) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        // Its only thread is the one that waits here: no pool, and nothing to share with workers.
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let listeners = {
            let _inside = runtime.enter();
            listeners.into_iter().map(tokio::net::TcpListener::from_std).collect::<io::Result<Vec<_>>>()?
        };
        let body = move || {
            runtime.block_on(async {
                serve::begin(listeners, &source);
                // Whoever drops the sender wants an end too.
                let _ = stopped.await;
            });
            // Connections end here with their tasks. A reply is made at once, so that none is half done.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("admin".to_owned()).spawn(body)?;
        Ok(Self { thread, stop })
    }

    /// Closes all connections and ends.
    pub fn end(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            log::error!("the thread of the admin interface has panicked");
        }
    }
}
