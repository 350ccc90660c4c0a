//! Requests about backups. Those that store or restore have no deadline: a large database takes its time, and
//! [`Client::running_backups`] tells how far it is.

use dormouse_types::DatabaseName;
use hyper::Method;

use super::{Answer, Client};
use crate::login::percent_encode;
use crate::model::{
    AddKeyRequest, BackUpRequest, BackedUp, Backup, CheckRequest, Checked, History, PruneRequest,
    PrunedBackups, RepositoryKey, RestoreRequest, Restored, RunningBackup, Verified,
};

impl Client {
    /// `POST /v1/backups/init`: creates the repository.
    ///
    /// # Errors
    /// See [`ClientError`](super::ClientError).
    pub async fn init_repository(&self) -> Answer<()> {
        let made = self.bytes(Method::POST, "/v1/backups/init", None);
        made.await.map(drop)
    }

    /// `GET /v1/backups`, or of one database.
    ///
    /// # Errors
    /// See [`ClientError`](super::ClientError).
    pub async fn backups(&self, name: Option<&DatabaseName>) -> Answer<Vec<Backup>> {
        let path = match name {
            Some(name) => format!("/v1/databases/{name}/backups"),
            None => "/v1/backups".to_owned(),
        };
        self.json_in_the_end(Method::GET, &path, None).await
    }

    /// `POST /v1/databases/NAME/backups`: makes a backup.
    ///
    /// # Errors
    /// See [`ClientError`](super::ClientError).
    pub async fn back_up(&self, name: &DatabaseName, request: &BackUpRequest) -> Answer<BackedUp> {
        let path = format!("/v1/databases/{name}/backups");
        let body = self.encode(request)?;
        self.json_in_the_end(Method::POST, &path, Some(body)).await
    }

    /// `POST /v1/databases/NAME/restore`: returns when the database is awake.
    ///
    /// # Errors
    /// See [`ClientError`](super::ClientError).
    pub async fn restore(&self, name: &DatabaseName, request: &RestoreRequest) -> Answer<Restored> {
        let path = format!("/v1/databases/{name}/restore");
        let body = self.encode(request)?;
        self.json_in_the_end(Method::POST, &path, Some(body)).await
    }

    /// `GET /v1/databases/NAME/history`: the times there are, and the transactions that a regular expression finds.
    ///
    /// # Errors
    /// See [`ClientError`](super::ClientError).
    pub async fn history(&self, name: &DatabaseName, grep: Option<&str>) -> Answer<History> {
        let query = grep.map_or(String::new(), |grep| {
            format!("?grep={}", percent_encode(grep))
        });
        let path = format!("/v1/databases/{name}/history{query}");
        self.json_in_the_end(Method::GET, &path, None).await
    }

    /// `POST /v1/databases/NAME/verify`: restores a backup for a test.
    ///
    /// # Errors
    /// See [`ClientError`](super::ClientError).
    pub async fn verify_backup(
        &self,
        name: &DatabaseName,
        request: &RestoreRequest,
    ) -> Answer<Verified> {
        let path = format!("/v1/databases/{name}/verify");
        let body = self.encode(request)?;
        self.json_in_the_end(Method::POST, &path, Some(body)).await
    }

    /// `POST /v1/backups/check`: checks the repository.
    ///
    /// # Errors
    /// See [`ClientError`](super::ClientError).
    pub async fn check_repository(&self, request: CheckRequest) -> Answer<Checked> {
        let body = self.encode(&request)?;
        self.json_in_the_end(Method::POST, "/v1/backups/check", Some(body))
            .await
    }

    /// `POST /v1/backups/prune`.
    ///
    /// # Errors
    /// See [`ClientError`](super::ClientError).
    pub async fn prune_backups(&self, request: PruneRequest) -> Answer<PrunedBackups> {
        let body = self.encode(&request)?;
        self.json_in_the_end(Method::POST, "/v1/backups/prune", Some(body))
            .await
    }

    /// `GET /v1/backups/running`.
    ///
    /// # Errors
    /// See [`ClientError`](super::ClientError).
    pub async fn running_backups(&self) -> Answer<Vec<RunningBackup>> {
        self.json(Method::GET, "/v1/backups/running", None).await
    }

    /// `GET /v1/backups/keys`.
    ///
    /// # Errors
    /// See [`ClientError`](super::ClientError).
    pub async fn repository_keys(&self) -> Answer<Vec<RepositoryKey>> {
        self.json(Method::GET, "/v1/backups/keys", None).await
    }

    /// `POST /v1/backups/keys`: returns the new key's id.
    ///
    /// # Errors
    /// See [`ClientError`](super::ClientError).
    pub async fn add_repository_key(&self, request: &AddKeyRequest) -> Answer<String> {
        let body = self.encode(request)?;
        self.json(Method::POST, "/v1/backups/keys", Some(body))
            .await
    }

    /// `DELETE /v1/backups/keys/ID`.
    ///
    /// # Errors
    /// See [`ClientError`](super::ClientError).
    pub async fn remove_repository_key(&self, id: &str) -> Answer<()> {
        let path = format!("/v1/backups/keys/{id}");
        self.bytes(Method::DELETE, &path, None).await.map(drop)
    }
}
