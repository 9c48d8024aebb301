//! What Prometheus reads at `/metrics`.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

/// Counters, gauges and histograms of a server.
pub struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    seconds: Family<Route, Histogram>,
    in_flight: Gauge,
    batches: Histogram,
    photos: Gauge<f64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("tombolo");
        // From half a millisecond to 16 seconds.
        let seconds = Family::<Route, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.0005, 2.0, 16))
        });
        let batches = Histogram::new(exponential_buckets(1.0, 2.0, 8));
        let (requests, in_flight, photos) = (Family::default(), Gauge::default(), Gauge::default());
        registry.register("requests", "Requests answered", Family::clone(&requests));
        registry.register(
            "request_seconds",
            "From a request's head to its answer's",
            seconds.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests being answered",
            Gauge::clone(&in_flight),
        );
        registry.register("text_batch_size", "Texts encoded together", batches.clone());
        registry.register("library_photos", "Photos that can be found", Gauge::clone(&photos));
        Self { registry, requests, seconds, in_flight, batches, photos }
    }
}

impl Metrics {
    /// A request has come.
    pub fn begin(&self) {
        self.in_flight.inc();
    }

    /// It has been answered, or its client is gone.
    pub fn end(&self) {
        self.in_flight.dec();
    }

    /// An answer. `route`: as the router has it, so that ids make no new series.
    pub fn answered(&self, route: &str, status: u16, taken: Duration) {
        let route = route.to_owned();
        self.requests.get_or_create(&Answered { route: route.clone(), status }).inc();
        self.seconds.get_or_create(&Route { route }).observe(taken.as_secs_f64());
    }

    /// So many texts were encoded together.
    pub fn text_batch(&self, texts: usize) {
        self.batches.observe(texts as f64);
    }

    /// So many photos can be found.
    pub fn photos(&self, photos: usize) {
        self.photos.set(photos as f64);
    }

    /// OpenMetrics' text format, which Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a string takes all that is written to it");
        text
    }
}
