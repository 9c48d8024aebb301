use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use milvus::v2::error::{Error, Result as Answer};
use milvus::v2::prelude::{
    ClientV2, ConnectConfig, ConsistencyLevel, CreateCollectionRequest, CreateIndexRequest,
    DeleteRequest, DescribeCollectionRequest, IndexParam, IndexType, InsertRequest,
    LoadCollectionRequest, MetricType, QueryRequest, ResultRow, RetryConfig, SearchRequest,
    SearchVectors, TelemetryConfig, UpsertRequest,
};
use tokio::runtime::{Builder, Runtime};

use super::access::{Access, Tls};
use super::address::Address;
use super::schema::{self, GLANCE, Glance, Photo, VECTOR};
use crate::SearchError;

/// How long a server may take to answer at all.
const CONNECT: Duration = Duration::from_secs(5);

/// How long it may take for one request.
const REQUEST: Duration = Duration::from_secs(120);

const ATTEMPTS: u32 = 4;

/// Milvus' own codes, of now and of before, for a collection that is not there.
const NO_COLLECTION: (i32, i32) = (100, 4);

/// A collection of a server, one request at a time as the caller sees it. Waits on a runtime of its own.
pub(super) struct Connection {
    /// Taken when dropped.
    runtime: Option<Runtime>,
    client: ClientV2,
    address: Address,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // May happen on a thread that must not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Connection {
    pub(super) fn open(address: Address, access: &Access) -> Result<Self, SearchError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("cluster")
            .enable_all()
            .build()
            .map_err(|source| SearchError::Io { path: address.to_string().into(), source })?;
        let config = config(access)
            .uri(format!("http://{}", address.server))
            .connect_timeout(CONNECT)
            .rpc_timeout(REQUEST)
            .retry(RetryConfig::new().max_attempts(ATTEMPTS))
            .telemetry(TelemetryConfig::new().enabled(false));
        let client =
            runtime.block_on(ClientV2::new(&config)).map_err(|error| failed(&address, error))?;
        Ok(Self { runtime: Some(runtime), client, address })
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    fn name(&self) -> &str {
        &self.address.collection
    }

    fn wait<T>(&self, work: impl Future<Output = Answer<T>>) -> Result<T, SearchError> {
        let runtime = self.runtime.as_ref().expect("there until it is dropped");
        runtime.block_on(work).map_err(|error| self.failed(error))
    }

    pub(super) fn failed(&self, error: Error) -> SearchError {
        failed(&self.address, error)
    }

    /// Makes the collection. Vectors are compared one by one, so that its answers are exact.
    pub(super) fn create(
        &self,
        dim: usize,
        properties: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), SearchError> {
        self.wait(async {
            let request = CreateCollectionRequest::builder()
                .collection_name(self.name())
                .schema(schema::schema(dim))
                .properties(properties.into_iter().collect());
            self.client.create_collection(request.build()?).await
        })
    }

    pub(super) fn index(&self) -> Result<(), SearchError> {
        self.wait(async {
            let index = IndexParam::new()
                .field_name(VECTOR)
                .index_type(IndexType::Flat)
                .metric_type(MetricType::Ip);
            // Not every server can be asked whether it is done; loading waits for it anyway.
            let request = CreateIndexRequest::builder().collection_name(self.name()).sync(false);
            self.client.create_index(request.index_params(vec![index]).build()?).await
        })
    }

    /// Brings the collection into the server's memory, if it is not there.
    pub(super) fn load(&self) -> Result<(), SearchError> {
        self.wait(async {
            let request = LoadCollectionRequest::builder().collection_name(self.name());
            self.client.load_collection(request.build()?).await
        })
    }

    /// What was said of the collection when it was made, and its dimension.
    pub(super) fn describe(&self) -> Result<(HashMap<String, String>, usize), SearchError> {
        self.wait(async {
            let request = DescribeCollectionRequest::builder().collection_name(self.name());
            let response = self.client.describe_collection(request.build()?).await?;
            let description = response.description();
            let fields = description.get_schema().get_fields();
            let vector = fields.iter().find(|field| field.get_name() == VECTOR);
            let dim = vector.map_or(0, |field| field.get_dimension() as usize);
            Ok((description.get_properties().clone(), dim))
        })
    }

    pub(super) fn upsert(&self, photos: &[Photo]) -> Result<(), SearchError> {
        self.wait(async {
            let insert = InsertRequest::builder()
                .collection_name(self.name())
                .columns(schema::columns(photos));
            let request = UpsertRequest::builder().insert(insert.build()?).build()?;
            self.client.upsert(request).await.map(drop)
        })
    }

    pub(super) fn delete(&self, expression: &str) -> Result<(), SearchError> {
        self.wait(async {
            let request =
                DeleteRequest::builder().collection_name(self.name()).filter(expression).build()?;
            self.client.delete(request).await.map(drop)
        })
    }

    pub(super) fn count(&self, expression: &str) -> Result<usize, SearchError> {
        let counted = self.query(Query {
            expression,
            fields: &["count(*)"],
            offset: None,
            read: &mut |row| row.get_i64("count(*)"),
        })?;
        Ok(counted.first().map_or(0, |&count| count.max(0) as usize))
    }

    /// What `read` makes of each row.
    pub(super) fn query<T>(&self, query: Query<'_, T>) -> Result<Vec<T>, SearchError> {
        self.wait(async {
            let mut request = QueryRequest::builder()
                .collection_name(self.name())
                .filter(query.expression)
                .output_fields(query.fields.iter().copied())
                // What was written before is seen.
                .consistency_level(ConsistencyLevel::Strong);
            if let Some((offset, limit)) = query.offset {
                request = request.offset(offset as i64).limit(limit as i64);
            }
            let response = self.client.query(request.build()?).await?;
            response.results().rows()?.map(|row| (query.read)(&row)).collect()
        })
    }

    /// The nearest to a vector, best first, of those that an expression lets through.
    pub(super) fn search(&self, search: Search<'_>) -> Result<Vec<Glance>, SearchError> {
        self.wait(async {
            let request = SearchRequest::builder()
                .collection_name(self.name())
                .vector_field(VECTOR)
                .vectors(SearchVectors::Float(vec![search.vector.to_vec()]))
                .filter(search.expression)
                .output_fields(GLANCE)
                .metric_type(MetricType::Ip)
                .offset(search.offset as i64)
                .limit(search.limit as i64)
                .consistency_level(ConsistencyLevel::Strong);
            let response = self.client.search(request.build()?).await?;
            let Some(found) = response.results().get_results().first() else {
                return Ok(Vec::new());
            };
            let scores = found.get_scores();
            found.rows()?.zip(scores).map(|(row, &score)| schema::glance(&row, score)).collect()
        })
    }
}

/// A question about records.
pub(super) struct Query<'a, T> {
    pub(super) expression: &'a str,
    pub(super) fields: &'a [&'a str],
    /// How many to pass over, and most rows after them.
    pub(super) offset: Option<(usize, usize)>,
    pub(super) read: &'a mut dyn FnMut(&ResultRow<'_>) -> Answer<T>,
}

/// A question about vectors.
pub(super) struct Search<'a> {
    pub(super) vector: &'a [f32],
    pub(super) expression: &'a str,
    /// How many to pass over.
    pub(super) offset: usize,
    /// Most rows after them.
    pub(super) limit: usize,
}

/// Who comes, and over what line; a plain address is changed to an encrypted one where it must be.
fn config(access: &Access) -> ConnectConfig {
    let config = match &access.token {
        Some(token) => ConnectConfig::new().token(token),
        None => ConnectConfig::new(),
    };
    match &access.tls {
        Tls::Off => config,
        Tls::System => config.secure(true),
        Tls::Authority(file) => config.secure(true).ca_certificate(file.to_string_lossy()),
    }
}

fn failed(address: &Address, error: Error) -> SearchError {
    let address = address.to_string();
    match error {
        Error::Server(error)
            if error.code() == NO_COLLECTION.0 || error.legacy_code() == NO_COLLECTION.1 =>
        {
            SearchError::NoCollection { address }
        }
        error => SearchError::Cluster { address, source: Box::new(error) },
    }
}
