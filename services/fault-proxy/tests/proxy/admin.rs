//! The admin API, and what it does not take.

use serde_json::{Value, json};
use thunes_fault_proxy::domain::{LinkSpec, parse_links};
use thunes_fault_proxy::{ProxyError, serve};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::rig::{Rig, config, request, within};

#[tokio::test]
async fn what_cannot_be_meant_is_refused_with_field_value_and_rule_and_changes_nothing() {
    let rig = Rig::start().await;
    let before = rig.set_kind("reset").await;
    let long = "x".repeat(70_000);
    let many = format!(r#"{{"kind":"{}"}}"#, "y".repeat(1000));
    let one = "/admin/links/a:b/fault";
    let all = "/admin/faults";
    for (method, path, body, status, part) in [
        ("PUT", one, "", 400, "body: must be a JSON object"),
        ("PUT", one, "{", 400, "body: must be a JSON object"),
        ("PUT", one, "[]", 400, "body = []"),
        ("PUT", one, "null", 400, "body = null"),
        ("PUT", one, "{}", 400, "kind = absent"),
        (
            "PUT",
            one,
            r#"{"kind":"explode"}"#,
            400,
            r#"kind = "explode": must be cut, black_hole, reset or delay"#,
        ),
        ("PUT", one, r#"{"kind":"delay"}"#, 400, "ms = absent"),
        (
            "PUT",
            one,
            r#"{"kind":"delay","ms":60001}"#,
            400,
            "ms = 60001: a delay needs whole milliseconds from 1 to",
        ),
        (
            "PUT",
            one,
            r#"{"kind":"cut","ms":1}"#,
            400,
            "ms = 1: goes only with the kind delay",
        ),
        (
            "PUT",
            one,
            r#"{"kind":"cut","why":"x"}"#,
            400,
            "why = \"x\": no such field; there are kind, ms",
        ),
        ("PUT", one, r#"{"kind":"cut","links":["a:b"]}"#, 400, "links = "),
        ("PUT", one, &many, 400, "kind = "),
        ("PUT", one, &long, 413, "body: "),
        (
            "PUT",
            "/admin/links/a:x/fault",
            r#"{"kind":"cut"}"#,
            404,
            r#"no link "a:x"; there are a:b, a:c"#,
        ),
        ("PUT", "/admin/links/%FF/fault", r#"{"kind":"cut"}"#, 400, "link name"),
        ("DELETE", "/admin/links/A:B/fault", "", 404, r#"no link "A:B""#),
        ("PUT", all, r#"{"kind":"cut"}"#, 400, "links = null: must be a list"),
        ("PUT", all, r#"{"links":[],"kind":"cut"}"#, 400, "links = []"),
        ("PUT", all, r#"{"links":"a:b","kind":"cut"}"#, 400, "links = \"a:b\""),
        ("PUT", all, r#"{"links":["a:b",1],"kind":"cut"}"#, 400, "links = 1"),
        (
            "PUT",
            all,
            r#"{"links":["a:b","a:b"],"kind":"cut"}"#,
            400,
            "links = \"a:b\"",
        ),
        (
            "PUT",
            all,
            r#"{"links":["a:b","no:ne"],"kind":"cut"}"#,
            404,
            r#"no link "no:ne""#,
        ),
        (
            "PUT",
            all,
            r#"{"links":["a:b","a:c"],"kind":"delay"}"#,
            400,
            "ms = absent",
        ),
        ("POST", all, r#"{"links":["a:b"],"kind":"cut"}"#, 405, "method"),
        ("PUT", "/admin/links", "{}", 405, "method"),
        ("GET", "/", "", 404, "no such admin path"),
    ] {
        let (got, answer) = request(rig.admin, method, path, body).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert_eq!(got, status, "{method} {path}: {answer}");
        assert!(
            error.contains(part),
            "{method} {path}: {part:?} is missing in {error:?}"
        );
        assert!(error.len() < 500, "an answer does not repeat everything: {error}");
    }
    let after = rig.state().await;
    assert_eq!(after["fault"], before["fault"], "nothing was changed");
    rig.stop().await;
}

#[tokio::test]
async fn several_links_are_set_together_and_healed_together() {
    let rig = Rig::start().await;
    let body = json!({"links": ["a:c", "a:b"], "kind": "delay", "ms": 5}).to_string();
    let (status, set) = request(rig.admin, "PUT", "/admin/faults", &body).await;
    assert_eq!(status, 200, "{set}");
    let (_, all) = request(rig.admin, "GET", "/admin/links", "").await;
    for states in [&set, &all] {
        for link in states["links"].as_array().expect("a list") {
            assert_eq!(link["fault"]["kind"], "delay", "{link}");
            assert_eq!(link["fault"]["ms"], 5);
            assert!(link["fault"]["since_ms"].as_i64().expect("a time") > 0);
        }
    }
    let encoded = "/admin/links/a%3Ac/fault";
    let (status, healed) = request(rig.admin, "DELETE", encoded, "").await;
    assert_eq!(
        (status, &healed["name"], &healed["fault"]),
        (200, &json!("a:c"), &Value::Null)
    );
    assert_eq!(rig.state().await["fault"]["kind"], "delay", "the other stays");
    let (status, healed) = request(rig.admin, "DELETE", "/admin/faults", "").await;
    assert_eq!(status, 200);
    for link in healed["links"].as_array().expect("a list") {
        assert_eq!(link["fault"], Value::Null);
    }
    let (status, health) = request(rig.admin, "GET", "/admin/health", "").await;
    assert_eq!((status, &health["status"]), (200, &json!("SERVING")));
    rig.stop().await;
}

async fn served(links: &str) -> ProxyError {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("address");
    let links: Vec<LinkSpec> = parse_links(links, true).expect("links");
    let serving = serve(config(address, links), listener, CancellationToken::new());
    within("the refusal", serving).await.expect_err("it cannot serve")
}

#[tokio::test]
async fn a_link_that_cannot_listen_is_named_with_its_address_and_a_remedy() {
    let holder = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let taken = holder.local_addr().expect("address");
    let error = served(&format!("risk:audit={taken}>127.0.0.1:7103")).await.to_string();
    for part in ["risk:audit", &taken.to_string(), "in use", "choose another port"] {
        assert!(error.contains(part), "{part} is missing in {error}");
    }
    let error = served("a:b=no-such-host.invalid:7121>127.0.0.1:1").await.to_string();
    assert!(error.contains("no-such-host.invalid:7121"), "{error}");
    // The settings refuse a literal address themselves; a name is known only now.
    let error = served("a:b=0.0.0.0:0>127.0.0.1:1").await;
    assert!(matches!(error, ProxyError::Plaintext { .. }), "{error}");
    assert!(error.to_string().contains("proxy.plaintext = true"), "{error}");
}
