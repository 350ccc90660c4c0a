//! Requests about imports and exports.

use dormouse_types::DatabaseName;
use hyper::Method;

use super::{Answer, Client};
use crate::model::TransferNote;

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
}
