use std::sync::Arc;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

/// A client for loopback and plain HTTP only: no proxy of the machine and no root certificates are to be asked for.
pub(crate) fn local_client() -> reqwest::Client {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the default protocol versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .no_proxy()
        .timeout(TIMEOUT)
        .tls_backend_preconfigured(tls)
        .build()
        .expect("a client without proxies and files cannot fail to build")
}

/// The body of a page that answers with success.
///
/// # Errors
/// A sentence, when it does not.
pub async fn http_get(url: &str) -> Result<String, String> {
    answered(local_client().get(url)).await
}

/// # Errors
/// A sentence, when it does not answer with success.
pub async fn http_put(url: &str, body: &serde_json::Value) -> Result<String, String> {
    answered(local_client().put(url).json(body)).await
}

/// # Errors
/// A sentence, when it does not answer with success.
pub async fn http_delete(url: &str) -> Result<String, String> {
    answered(local_client().delete(url)).await
}

async fn answered(request: reqwest::RequestBuilder) -> Result<String, String> {
    let response = request.send().await.map_err(|e| e.to_string())?;
    let status = response.status();
    let text = response.text().await.map_err(|e| e.to_string())?;
    if status.is_success() {
        Ok(text)
    } else {
        Err(format!("{status}: {text}"))
    }
}
