use std::fmt;
use std::str::FromStr;

use crate::SearchError;

/// How an address begins.
pub(crate) const SCHEME: &str = "milvus://";

/// Longest name of a collection.
const MAX_NAME: usize = 255;

/// A collection of a cluster: `milvus://HOST:PORT/COLLECTION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// `HOST:PORT`
    pub(super) server: String,
    pub(super) collection: String,
}

impl FromStr for Address {
    type Err = SearchError;

    fn from_str(text: &str) -> Result<Self, SearchError> {
        let parts = text.strip_prefix(SCHEME).and_then(|rest| rest.split_once('/'));
        match parts {
            Some((server, collection)) if is_server(server) && is_name(collection) => {
                Ok(Self { server: server.to_owned(), collection: collection.to_owned() })
            }
            _ => Err(SearchError::Address { found: text.to_owned() }),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.server, self.collection)
    }
}

fn is_server(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && host.chars().all(plain) && port.parse::<u16>().is_ok()
    })
}

/// Names that Milvus allows.
fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=MAX_NAME).contains(&text.len())
        && text.chars().all(plain)
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in
            ["milvus://127.0.0.1:19530/photos", "milvus://[::1]:1/_a9", "milvus://db.local:80/A"]
        {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "photos",
            "milvus://",
            "milvus://host/photos",
            "milvus://host:1",
            "milvus://host:1/",
            "milvus://host:1/9photos",
            "milvus://host:1/my-photos",
            "milvus://host:1/a/b",
            "milvus://host:99999/photos",
            "milvus://user@host:1/photos",
            "http://host:1/photos",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
