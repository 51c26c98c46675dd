//! The simulator's own certificate authority, and the certificate of its server.

use std::{error::Error, fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// A CA that signs the server's certificate and nothing else.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Reads `ca.pem` and `ca.key`, or makes both: a restart must not cost the clients their trust.
    pub fn open(dir: &Path) -> Result<Self, Box<dyn Error>> {
        fs::create_dir_all(dir)?;
        let (certificate, key) = (dir.join("ca.pem"), dir.join("ca.key"));
        if !(certificate.exists() && key.exists()) {
            Self::found(&certificate, &key)?;
        }
        let key = KeyPair::from_pem(&fs::read_to_string(key)?)?;
        Ok(Self { issuer: Issuer::from_ca_cert_pem(&fs::read_to_string(certificate)?, key)? })
    }

    /// A server for these names and addresses. Its key lives in memory only.
    pub fn server(&self, names: Vec<String>) -> Result<Arc<ServerConfig>, Box<dyn Error>> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "C1 simulator");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn found(certificate: &Path, key: &Path) -> Result<(), Box<dyn Error>> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "C1 simulator CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(key)?;
        file.write_all(pair.serialize_pem().as_bytes())?;
        fs::write(certificate, params.self_signed(&pair)?.pem())?;
        Ok(())
    }
}
