//! Requests about imports and exports.

use dormouse_types::DatabaseName;
use hyper::Method;

use super::{Answer, Client};
use crate::model::{Reservation, TransferNote};

impl Client {
    /// `POST /v1/databases/NAME/transfers`: tells the ledger of an import or export.
    ///
    /// # Errors
    /// See [`ClientError`](super::ClientError).
    pub async fn note_transfer(&self, name: &DatabaseName, note: &TransferNote) -> Answer<()> {
        let path = format!("/v1/databases/{name}/transfers");
        let body = self.encode(note)?;
        self.bytes(Method::POST, &path, Some(body)).await.map(drop)
    }

    /// `PUT /v1/databases/NAME/reservation`: holds statements of sessions that do not show this key.
    ///
    /// # Errors
    /// See [`ClientError`](super::ClientError).
    pub async fn reserve(&self, name: &DatabaseName, key: &str) -> Answer<()> {
        let path = format!("/v1/databases/{name}/reservation");
        let key = Some(key.to_owned());
        let body = self.encode(&Reservation { key })?;
        self.bytes(Method::PUT, &path, Some(body)).await.map(drop)
    }

    /// `PUT /v1/databases/NAME/reservation` without a key: held statements run.
    ///
    /// # Errors
    /// See [`ClientError`](super::ClientError).
    pub async fn release(&self, name: &DatabaseName) -> Answer<()> {
        let path = format!("/v1/databases/{name}/reservation");
        let body = self.encode(&Reservation { key: None })?;
        self.bytes(Method::PUT, &path, Some(body)).await.map(drop)
    }
}
