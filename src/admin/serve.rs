//! Connections of the admin interface: accepted up to a bound, and each with an end. Knows sockets and time; requests
//! are `routes`' business.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::routes;
use super::source::Source;
use crate::limits;

/// Accepts on each socket, within the runtime that this is called in.
pub(super) fn begin(listeners: Vec<TcpListener>, source: &Arc<dyn Source>) {
    let places = Arc::new(Semaphore::new(limits::ADMIN_CONNECTIONS));
    for listener in listeners {
        tokio::spawn(accept(listener, Arc::clone(source), Arc::clone(&places)));
    }
}

async fn accept(listener: TcpListener, source: Arc<dyn Source>, places: Arc<Semaphore>) {
    loop {
        // The place first: who comes above the bound waits in the backlog, and not for long, as each connection has an end.
        let place = Arc::clone(&places).acquire_owned().await.expect("nobody closes the semaphore");
        match listener.accept().await {
            Ok((stream, peer)) => {
                let source = Arc::clone(&source);
                tokio::spawn(async move {
                    serve(stream, peer, source).await;
                    drop(place);
                });
            }
            Err(error) => {
                log::debug!("the admin interface cannot accept: {error}");
                // Out of descriptors, say: to ask again at once would only burn time.
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, source: Arc<dyn Source>) {
    let service = service_fn(move |request| {
        let reply = routes::reply(&*source, peer, &request);
        async { Ok::<_, Infallible>(reply) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits::ADMIN_HEAD_MS))
        .max_buf_size(limits::ADMIN_HEAD_BYTES);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let lifetime = Duration::from_millis(limits::ADMIN_CONNECTION_MS);
    let ended = match timeout(lifetime, connection.as_mut()).await {
        Ok(ended) => ended,
        Err(_) => {
            connection.as_mut().graceful_shutdown();
            match timeout(Duration::from_millis(limits::ADMIN_FAREWELL_MS), connection).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        log::debug!("a connection of the admin interface from {peer} ended: {error}");
    }
}
