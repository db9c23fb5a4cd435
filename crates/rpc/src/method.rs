use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message;
use prost_types::FileDescriptorSet;

/// A method as metrics and spans name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Method {
    /// With its package: `thunes.risk.v1.RiskService`.
    pub service: &'static str,
    pub name: &'static str,
    /// Either side can go on after the answer has begun.
    pub streaming: bool,
}

/// Whatever a caller makes up counts as this one: names from outside must not become labels.
const OTHER: Method = Method {
    service: "other",
    name: "other",
    streaming: false,
};

static KNOWN: LazyLock<HashMap<String, Method>> = LazyLock::new(|| {
    [
        thunes_proto::FILE_DESCRIPTORS,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ]
    .into_iter()
    .flat_map(methods)
    .collect()
});

/// The methods of a descriptor set by their paths. The names live as long as the process; they are few and fixed.
fn methods(descriptors: &[u8]) -> Vec<(String, Method)> {
    let set = FileDescriptorSet::decode(descriptors).expect("descriptors are generated with the code");
    let mut all = Vec::new();
    for file in set.file {
        for service in file.service {
            let full = format!("{}.{}", file.package.as_deref().unwrap_or_default(), service.name());
            let full: &'static str = full.leak();
            for method in &service.method {
                let known = Method {
                    service: full,
                    name: method.name().to_owned().leak(),
                    streaming: method.server_streaming() || method.client_streaming(),
                };
                all.push((format!("/{full}/{}", known.name), known));
            }
        }
    }
    all
}

impl Method {
    /// The method of a path such as `/thunes.risk.v1.RiskService/GetRiskStatus`.
    pub(crate) fn of(path: &str) -> Self {
        KNOWN.get(path).copied().unwrap_or(OTHER)
    }

    /// Questions of the infrastructure would drown everything else in a collector.
    pub(crate) fn is_traced(self) -> bool {
        !self.service.starts_with("grpc.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_known_by_their_path_and_the_rest_is_other() {
        let submit = Method::of("/thunes.gateway.v1.GatewayService/SubmitOrder");
        assert_eq!(
            (submit.service, submit.name),
            ("thunes.gateway.v1.GatewayService", "SubmitOrder")
        );
        assert!(!submit.streaming && submit.is_traced());
        assert!(Method::of("/thunes.risk.v1.RiskService/WatchRiskStatus").streaming);
        assert!(!Method::of("/grpc.health.v1.Health/Check").is_traced());
        for made_up in [
            "",
            "/",
            "/x/y",
            "/thunes.gateway.v1.GatewayService/SubmitOrder/",
            "/thunes.gateway.v1.GatewayService/",
        ] {
            assert_eq!(Method::of(made_up), OTHER, "{made_up}");
        }
    }
}
