use std::fmt;
use std::path::PathBuf;

/// What a cluster asks of those who come to it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// `USER:PASSWORD`, or a key; shown to the server with every request.
    pub token: Option<String>,
    /// Whether the line is encrypted.
    pub tls: Tls,
}

/// Whether a line is encrypted, and who vouches for the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// It is not.
    #[default]
    Off,
    /// The authorities that the system trusts.
    System,
    /// Those in this PEM file.
    Authority(PathBuf),
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "…");
        f.debug_struct("Access").field("token", &token).field("tls", &self.tls).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_printed() {
        let access = Access { token: Some("root:Milvus".to_owned()), tls: Tls::System };
        assert!(!format!("{access:?}").contains("Milvus"));
    }
}
