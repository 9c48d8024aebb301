//! The HTTP API and the web page: a thin router over the library and a model.

mod body;
mod embeddings;
mod engine;
mod error;
mod guard;
mod items;
mod metrics;
mod openapi;
mod patience;
mod request;
mod search;
mod site;
mod state;
mod status;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tombolo_search::Retriever;

use self::engine::Engines;
use self::error::ApiError;
use self::metrics::Metrics;
use self::patience::Patience;
use self::state::{Shared, State};
use crate::cli::{Global, Misuse};

/// Connections that are open at once; more wait until one is closed.
const CONNECTIONS: usize = 512;

/// How long a client may take to say what it wants.
const HEAD: Duration = Duration::from_secs(10);

/// How long a client may take nothing of what it asked for; and see [`Patience`] for one that takes little.
const TAKE: Duration = Duration::from_secs(30);

/// How long requests may go on after the server was told to stop.
const GRACE: Duration = Duration::from_secs(20);

/// What a server is made of.
pub struct Config {
    /// The library.
    pub library: Box<dyn Retriever>,
    /// A run directory or a starter.
    pub model: PathBuf,
    /// The run whose map takes the place of the model's.
    pub map: Option<PathBuf>,
    /// What clients call the model.
    pub model_name: String,
    /// Where it listens.
    pub bind: SocketAddr,
    /// What clients must show, if anything.
    pub token: Option<String>,
    /// Requests that are answered at once; more are told to come again.
    pub slots: usize,
}

fn cannot_listen(bind: SocketAddr, error: &std::io::Error) -> Misuse {
    let what = format!("cannot listen at {bind}: {error}");
    Misuse::new(what, "choose another --bind, or stop what listens there")
}

/// Serves until the process is told to stop; then answers what has begun. `ready` is told the address once it listens.
pub fn run(config: Config, global: &Global, ready: impl FnOnce(SocketAddr)) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::default());
    let library: Arc<dyn Retriever> = config.library.into();
    let (followed, counted) = (Arc::clone(&library), Arc::clone(&metrics));
    let engines = Engines::new((config.model, config.map), global.clone(), followed, counted)?;
    let token = config.token.map(|token| blake3::hash(token.as_bytes()));
    let state =
        Arc::new(State::new(library, engines, metrics, config.model_name, token, config.slots));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let listener = TcpListener::bind(config.bind)
            .await
            .map_err(|error| cannot_listen(config.bind, &error))?;
        ready(listener.local_addr()?);
        let loading = Arc::clone(&state);
        let loaded = tokio::task::spawn_blocking(move || loading.engines.load().map(drop));
        tokio::select! {
            () = serve(listener, router(state)) => Ok(()),
            error = failure(loaded) => Err(error),
        }
    });
    // What still computes for clients that are gone need not be waited for.
    runtime.shutdown_background();
    served
}

/// Why the model could not be loaded; never returns if it could.
async fn failure(loaded: tokio::task::JoinHandle<anyhow::Result<()>>) -> anyhow::Error {
    match loaded.await {
        Ok(Ok(())) => std::future::pending().await,
        Ok(Err(error)) => error,
        Err(panic) => anyhow::anyhow!("{panic}"),
    }
}

fn router(state: Shared) -> Router {
    let guarded = Router::new()
        .route("/search", post(search::search))
        .route("/filters", get(items::filters))
        .route("/items/{id}", get(items::record))
        .route("/items/{id}/image", get(items::image))
        .route("/items/{id}/thumbnail", get(items::thumbnail))
        .route("/items/{id}/why", get(items::why))
        .route("/v1/embeddings", post(embeddings::embeddings))
        .route("/v1/models", get(embeddings::models))
        .route_layer(from_fn_with_state(Arc::clone(&state), guard::slot))
        .route_layer(from_fn_with_state(Arc::clone(&state), guard::body))
        // Whoever watches the server must see it when there is no room for anybody else.
        .route("/metrics", get(status::metrics))
        .method_not_allowed_fallback(|| async { ApiError::method() })
        .route_layer(from_fn_with_state(Arc::clone(&state), guard::token));
    let open = Router::new()
        .route("/health", get(status::health))
        .route("/openapi.json", get(status::openapi))
        .method_not_allowed_fallback(|| async { ApiError::method() });
    guarded
        .merge(open)
        .merge(site::routes())
        .fallback(|| async {
            ApiError::not_found("there is no such route; /docs lists those that are")
        })
        .layer(DefaultBodyLimit::max(body::MAX_BODY))
        .layer(from_fn(guard::headers))
        .layer(from_fn_with_state(Arc::clone(&state), guard::host))
        .layer(from_fn_with_state(Arc::clone(&state), guard::watch))
        .with_state(state)
}

/// Accepts connections until told to stop.
async fn serve(listener: TcpListener, router: Router) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let mut stop = std::pin::pin!(stop());
    loop {
        let accept = async {
            let place = Arc::clone(&connections).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accept => accepted,
            () = &mut stop => break,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, mostly: others will be closed.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // An answer goes out at once; without it the next request may wait 40 ms for the acknowledgement.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let stream = TokioIo::new(Patience::new(stream, TAKE));
        let connection = graceful.watch(http.serve_connection(stream, service));
        tokio::spawn(async move {
            // A client that breaks off is no concern of ours.
            let _ = connection.await;
            drop(place);
        });
    }
    // Whoever comes now is refused at once, and goes to another server if there is one.
    drop(listener);
    tracing::info!("stopping");
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
}

/// Returns when the process is asked to stop.
async fn stop() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
