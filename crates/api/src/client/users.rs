//! Requests about users of a database.

use dormouse_types::DatabaseName;
use hyper::Method;

use super::{Answer, Client};
use crate::model::{User, UserAdded, UserName, UserRequest};

impl Client {
    /// `GET /v1/databases/NAME/users`.
    ///
    /// # Errors
    /// See [`ClientError`](super::ClientError).
    pub async fn users(&self, name: &DatabaseName) -> Answer<Vec<User>> {
        let path = format!("/v1/databases/{name}/users");
        self.json(Method::GET, &path, None).await
    }

    /// `POST /v1/databases/NAME/users`: adds a user.
    ///
    /// # Errors
    /// See [`ClientError`](super::ClientError).
    pub async fn add_user(&self, name: &DatabaseName, request: &UserRequest) -> Answer<UserAdded> {
        let path = format!("/v1/databases/{name}/users");
        let body = self.encode(request)?;
        self.json(Method::POST, &path, Some(body)).await
    }

    /// `POST /v1/databases/NAME/users/rotate`: gives a user a new password.
    ///
    /// # Errors
    /// See [`ClientError`](super::ClientError).
    pub async fn rotate_user(&self, name: &DatabaseName, request: &UserName) -> Answer<UserAdded> {
        let path = format!("/v1/databases/{name}/users/rotate");
        let body = self.encode(request)?;
        self.json(Method::POST, &path, Some(body)).await
    }

    /// `POST /v1/databases/NAME/users/drop`: drops a user.
    ///
    /// # Errors
    /// See [`ClientError`](super::ClientError).
    pub async fn drop_user(&self, name: &DatabaseName, request: &UserName) -> Answer<()> {
        let path = format!("/v1/databases/{name}/users/drop");
        let body = self.encode(request)?;
        self.bytes(Method::POST, &path, Some(body)).await.map(drop)
    }
}
