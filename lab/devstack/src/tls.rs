//! The certificates of a server, where it can read them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::Tls;
use crate::error::{Doing, Error};
use crate::folder::Folder;

impl Tls {
    /// Copies the files into the folder of a server.
    pub(crate) fn copy(&self, folder: &Folder) -> Result<Self, Error> {
        Ok(Self {
            client_ca_file: copy(&self.client_ca_file, folder, "client-ca.pem")?,
            cert_file: copy(&self.cert_file, folder, "cert.pem")?,
            key_file: copy(&self.key_file, folder, "key.pem")?,
        })
    }
}

/// PostgreSQL refuses a key that others can read.
fn copy(file: &Path, folder: &Folder, name: &str) -> Result<PathBuf, Error> {
    let text = fs::read_to_string(file).doing(|| format!("read {}", file.display()))?;
    let path = folder.write(name, &text)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))
        .doing(|| format!("make {} private", path.display()))?;
    Ok(path)
}
