//! From a location, its options and its credentials to the place's files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use opendal::services::{Azblob, Gcs, S3};

use crate::disk::Disk;
use crate::error::Error;
use crate::files::Files;
use crate::location::{Location, Place};
use crate::remote::objects::Objects;
use crate::remote::rest::Rest;
use crate::remote::sftp::{Sftp, Target};
use crate::remote::{self, Remote, http};
use crate::repository::Options;
use crate::secrets::Secrets;

/// The options of each kind of place.
const fn known(place: &Place) -> &'static [&'static str] {
    match place {
        Place::Local(_) => &[],
        Place::Sftp(_) => &["identity_file", "known_hosts_file", "timeout"],
        Place::S3 { .. } => &["ca_file", "region", "timeout", "virtual_host_style"],
        Place::Gs { .. } => &["anonymous", "ca_file", "endpoint", "timeout"],
        Place::Azure { .. } => &["ca_file", "endpoint", "timeout"],
        Place::Rest { .. } => &["ca_file", "timeout"],
    }
}

/// Prepares the way to a place; nothing is sent yet.
pub(crate) fn files(location: &Location, options: &Options) -> Result<Arc<dyn Files>, Error> {
    let way = Way::new(location, options);
    way.files().map_err(|cause| Error::Setting {
        location: location.to_string(),
        cause,
    })
}

/// Whether the options of a place are such that it can be tried. Credentials are read when it is used.
///
/// # Errors
/// [`Error::Setting`].
pub fn check_place(location: &Location, options: &Options) -> Result<(), Error> {
    Way::new(location, options)
        .check()
        .map_err(|cause| Error::Setting {
            location: location.to_string(),
            cause,
        })
}

struct Way<'a> {
    location: &'a Location,
    options: &'a BTreeMap<String, String>,
    credentials: Option<&'a Path>,
}

impl<'a> Way<'a> {
    fn new(location: &'a Location, options: &'a Options) -> Self {
        Self {
            location,
            options: &options.place,
            credentials: options.credentials.as_deref(),
        }
    }

    fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    fn is_set(&self, name: &str) -> Result<bool, String> {
        match self.option(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(format!("its option '{name}' is neither true nor false")),
        }
    }

    fn timeout(&self) -> Result<Duration, String> {
        let Some(text) = self.option("timeout") else {
            return Ok(remote::TIMEOUT);
        };
        let seconds = text
            .parse()
            .ok()
            .filter(|seconds| (1..=3600).contains(seconds));
        let wrong = || "its option 'timeout' is no number of seconds from 1 to 3600".to_owned();
        seconds.map(Duration::from_secs).ok_or_else(wrong)
    }

    fn check(&self) -> Result<(), String> {
        self.timeout()?;
        for name in ["anonymous", "virtual_host_style"] {
            self.is_set(name)?;
        }
        let known = known(&self.location.place);
        match self
            .options
            .keys()
            .find(|name| !known.contains(&name.as_str()))
        {
            None => Ok(()),
            Some(name) if known.is_empty() => Err(format!("a directory has no option '{name}'")),
            Some(name) => Err(format!(
                "this kind of place has no option '{name}', but {}; credentials belong into a file that credentials_file names, \
                 or into the environment",
                known.join(", ")
            )),
        }
    }

    fn files(&self) -> Result<Arc<dyn Files>, String> {
        self.check()?;
        let timeout = self.timeout()?;
        let secrets = Secrets::read(self.credentials)?;
        let client = || http::client(self.option("ca_file").map(Path::new));
        let objects = |made: Result<Objects, String>| -> Result<Arc<dyn Files>, String> {
            Ok(Arc::new(Remote::new(made?, timeout)))
        };
        match &self.location.place {
            Place::Local(path) => Ok(Arc::new(Disk::new(path.clone()))),
            Place::Sftp(host) => {
                let option = |name: &str| self.option(name).map(str::to_owned);
                let target = Target {
                    host: host.clone(),
                    identity_file: option("identity_file"),
                    known_hosts_file: option("known_hosts_file"),
                };
                Ok(Arc::new(Remote::new(Sftp::new(target), timeout)))
            }
            Place::Rest { url, user } => {
                let user = user.clone().or_else(|| {
                    let name = secrets.get("RESTIC_REST_USERNAME");
                    name.map(|name| name.to_string())
                });
                let login = user.zip(secrets.get("RESTIC_REST_PASSWORD"));
                let rest = Rest::new(client()?, url, login);
                Ok(Arc::new(Remote::new(rest, timeout)))
            }
            Place::S3 {
                endpoint,
                bucket,
                root,
            } => {
                let mut s3 = S3::default().endpoint(endpoint).bucket(bucket).root(root);
                s3 = s3.region(&self.region(endpoint, &secrets));
                if self.is_set("virtual_host_style")? {
                    s3 = s3.enable_virtual_host_style();
                }
                match (
                    secrets.get("AWS_ACCESS_KEY_ID"),
                    secrets.get("AWS_SECRET_ACCESS_KEY"),
                ) {
                    (Some(id), Some(key)) => {
                        s3 = s3.access_key_id(&id).secret_access_key(&key);
                        if let Some(token) = secrets.get("AWS_SESSION_TOKEN") {
                            s3 = s3.session_token(&token);
                        }
                    }
                    (None, None) if self.credentials.is_none() => {}
                    _ => {
                        return Err("its credentials are not whole: they are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".to_owned());
                    }
                }
                objects(Objects::new(
                    s3,
                    client()?,
                    format!("the bucket '{bucket}'"),
                ))
            }
            Place::Gs { bucket, root } => {
                let mut gcs = Gcs::default().bucket(bucket).root(root);
                if let Some(endpoint) = self.option("endpoint") {
                    gcs = gcs.endpoint(endpoint);
                }
                if self.is_set("anonymous")? {
                    gcs = gcs.skip_signature();
                } else if let Some(token) = secrets.get("GOOGLE_ACCESS_TOKEN") {
                    gcs = gcs.token(token.to_string());
                } else if let Some(path) = secrets.get("GOOGLE_APPLICATION_CREDENTIALS") {
                    gcs = gcs.credential_path(&path);
                }
                objects(Objects::new(
                    gcs,
                    client()?,
                    format!("the bucket '{bucket}'"),
                ))
            }
            Place::Azure { container, root } => {
                let missing = "its credentials lack AZURE_ACCOUNT_NAME";
                let account = secrets.get("AZURE_ACCOUNT_NAME").ok_or(missing)?;
                let own = format!("https://{}.blob.core.windows.net", account.as_str());
                let mut azure = Azblob::default()
                    .endpoint(self.option("endpoint").unwrap_or(&own))
                    .account_name(&account)
                    .container(container)
                    .root(root);
                if let Some(key) = secrets.get("AZURE_ACCOUNT_KEY") {
                    azure = azure.account_key(&key);
                } else if let Some(signature) = secrets.get("AZURE_ACCOUNT_SAS") {
                    azure = azure.sas_token(signature.trim_start_matches('?'));
                }
                objects(Objects::new(
                    azure,
                    client()?,
                    format!("the container '{container}'"),
                ))
            }
        }
    }

    /// The region of a bucket: as it is named, or as its host is called.
    fn region(&self, endpoint: &str, secrets: &Secrets) -> String {
        let named = self.option("region").map(str::to_owned);
        let variable = |name| secrets.get(name).map(|value| value.to_string());
        let of_host = || {
            let host = endpoint.strip_prefix("https://s3.")?;
            host.strip_suffix(".amazonaws.com").map(str::to_owned)
        };
        named
            .or_else(|| variable("AWS_REGION"))
            .or_else(|| variable("AWS_DEFAULT_REGION"))
            .or_else(of_host)
            .unwrap_or_else(|| "us-east-1".to_owned())
    }
}
