//! The secret from which the passwords of Dormouse's own logins are derived.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use dormouse_types::InstanceId;
use dormouse_wire::auth::native;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::EngineError;
use crate::error::doing;

/// First stage of a password (`mysql_native_password`): SHA1(password).
pub type Stage1 = [u8; 20];

/// The secret of one installation. It leaves the machine in encrypted backups alone. Passwords derived from it are not
/// stored: servers have their second stage only.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

/// Whose credentials the accounts in some files have.
#[derive(Clone, PartialEq, Eq)]
pub struct Origin {
    /// The instance.
    pub instance: InstanceId,
    /// The secret of its installation, if that is another one.
    pub secret: Option<Secret>,
}

impl Secret {
    /// A secret with these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads the secret from a file; creates the file with a new secret, mode 0600, if it is missing.
    ///
    /// # Errors
    /// The file cannot be read or created, or has invalid content.
    pub fn load_or_create(path: &Path) -> Result<Self, EngineError> {
        match fs::read_to_string(path) {
            Ok(text) => {
                let bad = || EngineError::BadSecret {
                    path: path.to_owned(),
                };
                from_hex(text.trim_end()).map(Self).ok_or_else(bad)
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let secret = Self::random()?;
                secret
                    .store(path)
                    .map_err(doing(format!("writing the secret {}", path.display())))?;
                Ok(secret)
            }
            Err(e) if e.kind() == ErrorKind::InvalidData => Err(EngineError::BadSecret {
                path: path.to_owned(),
            }),
            Err(e) => Err(doing(format!("reading the secret {}", path.display()))(e)),
        }
    }

    /// The secret as text, for a backup that is encrypted.
    #[must_use]
    pub fn reveal(&self) -> String {
        to_hex(&self.0)
    }

    /// Names the installation; tells nothing of the secret.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let bytes = self.derive(&[b"installation"]);
        to_hex(bytes.get(..8).unwrap_or_default())
    }

    /// The secret that [`Secret::reveal`] gave.
    #[must_use]
    pub fn revealed(text: &str) -> Option<Self> {
        from_hex(text).map(Self)
    }

    fn random() -> Result<Self, EngineError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)
            .map_err(std::io::Error::other)
            .map_err(doing("getting random bytes from the system"))?;
        Ok(Self(bytes))
    }

    /// Writes the file atomically and durably.
    fn store(&self, path: &Path) -> std::io::Result<()> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".tmp");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        writeln!(file, "{}", to_hex(&self.0))?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        fs::File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    }

    /// First stage of the password of `dormouse`@`localhost`, the same in every instance.
    #[must_use]
    pub fn admin_stage1(&self) -> Stage1 {
        self.stage1(&[b"admin"])
    }

    /// First stage of the password with which the proxy logs in to the account `user`@`host` of an
    /// instance. It differs for each account: a server that would choose another account of the same user
    /// refuses the login.
    #[must_use]
    pub fn account_stage1(&self, instance: InstanceId, user: &str, host: &str) -> Stage1 {
        let length = (user.len() as u64).to_be_bytes();
        let (user, host) = (user.as_bytes(), host.as_bytes());
        self.stage1(&[b"account", &instance.0.to_be_bytes(), &length, user, host])
    }

    /// Second stage of the password of `dormouse`@`localhost`, as text for SQL and the account table.
    #[must_use]
    pub fn admin_hash(&self) -> String {
        native::to_text(&native::stage2(&self.admin_stage1()))
    }

    /// Second stage of the proxy's password for `user`@`host`, as text for SQL and the account table.
    #[must_use]
    pub fn account_hash(&self, instance: InstanceId, user: &str, host: &str) -> String {
        native::to_text(&native::stage2(&self.account_stage1(instance, user, host)))
    }

    /// Second stage of the password that former versions gave to every account of a user name. It is only
    /// recognised, so that it can be removed.
    #[must_use]
    pub fn former_stage2(&self, instance: InstanceId, user: &str) -> [u8; 20] {
        native::stage2(&self.stage1(&[b"user", &instance.0.to_be_bytes(), user.as_bytes()]))
    }

    /// Bytes of the key of the authority that signs client certificates for an instance's server; there are
    /// several, since not all bytes are a key.
    pub(crate) fn authority_key(&self, instance: InstanceId, attempt: u8) -> [u8; 32] {
        self.derive(&[b"authority", &instance.0.to_be_bytes(), &[attempt]])
    }

    /// The key of [`attach`](crate::attach).
    pub(crate) fn attach_key(&self, instance: InstanceId) -> [u8; 32] {
        self.derive(&[b"attach", &instance.0.to_be_bytes()])
    }

    /// The password is an HMAC-SHA256 of the parts in hexadecimal. Different lists of parts give different
    /// bytes, since only the last part varies in length without its length standing before it.
    fn stage1(&self, parts: &[&[u8]]) -> Stage1 {
        native::stage1(to_hex(&self.derive(parts)).as_bytes())
    }

    fn derive(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut key = [0; 64];
        key[..32].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&key.into());
        for part in parts {
            mac.update(part);
            mac.update(&[0]);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|b| [b >> 4, b & 15])
        .map(|n| char::from(b"0123456789abcdef"[usize::from(n)]))
        .collect()
}

fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digit = |b: &u8| char::from(*b).to_digit(16);
        *byte = u8::try_from(pair.iter().try_fold(0, |n, b| Some(n * 16 + digit(b)?))?).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests;
