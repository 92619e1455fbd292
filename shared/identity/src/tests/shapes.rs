//! Tokens that look like ours and are not: one table, for the verifier by itself and for every RPC of
//! every function behind its whole stack.

use aws_lc_rs::{
    encoding::AsDer,
    hmac,
    signature::{
        KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::tokens::{
    ISSUER, NOW, PAIRS, claims, encode, header, jwk, sign, sign_as, token, with_claim, with_header,
};

/// The most bytes of a token that is read at all.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// A token, and what is said to it.
pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) token: String,
    pub(crate) reason: &'static str,
}

/// Every shape. `canary` is a URL that nobody must call.
pub(crate) fn shapes(canary: &str) -> Vec<Shape> {
    let mut shapes = segments();
    shapes.extend(headers(canary));
    shapes.extend(signatures());
    shapes.extend(wrong_claims());
    shapes.extend(expired());
    shapes
}

fn shape(name: impl Into<String>, token: impl Into<String>) -> Shape {
    Shape { name: name.into(), token: token.into(), reason: "TOKEN_INVALID" }
}

/// Segments that are not three plain ones.
fn segments() -> Vec<Shape> {
    let good = token(|_, _| {});
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (head, body) = message.split_once('.').unwrap();
    // The last character of 256 bytes in base64 has stray bits, which another spelling would set.
    let (most, last) = good.split_at(good.len() - 1);
    let stray = format!("{most}{}", char::from(last.as_bytes()[0] + 1));
    vec![
        shape("empty", ""),
        shape("one segment", head),
        shape("two segments", message),
        shape("four segments", format!("{good}.{signature}")),
        shape("five segments, as encrypted ones have", format!("{good}.a.b")),
        shape("only dots", ".."),
        shape("empty signature", format!("{message}.")),
        shape("empty header", format!(".{body}.{signature}")),
        shape("empty claims", format!("{head}..{signature}")),
        shape("leading dot", format!(".{good}")),
        shape("padded signature", format!("{good}==")),
        shape("padded header", format!("{head}=.{body}.{signature}")),
        shape("standard base64", format!("{head}.{body}.+/{}", signature.split_at(2).1)),
        shape("stray bits", stray),
        shape("leading space", format!(" {good}")),
        shape("trailing newline", format!("{good}\n")),
        shape("newline within", format!("{head}.\n{body}.{signature}")),
        shape("NUL at the end", format!("{good}\0")),
        shape("letters beyond ASCII", format!("{good}é")),
        shape("shortened signature", good.split_at(good.len() - 4).0),
        shape("lengthened signature", format!("{good}AAAA")),
        shape("signature of zeros", format!("{message}.{}", encode([0; 256]))),
        shape("signature of one byte", format!("{message}.AA")),
        shape("too long", with_claim("roles", json!("r".repeat(TOKEN_BYTES_MAX)))),
        shape("huge", "A".repeat(1 << 20)),
        shape("percent-encoded", good.replace('.', "%2e")),
        shape("with its scheme", format!("Bearer {good}")),
    ]
}

/// Headers that ask for another reading.
fn headers(canary: &str) -> Vec<Shape> {
    let mut shapes = Vec::new();
    for alg in [
        "none", "None", "NONE", "nOnE", "HS256", "HS512", "RS384", "RS512", "PS256", "ES256",
        "EdDSA", "rs256", "RS256 ", "",
    ] {
        shapes.push(shape(format!("alg {alg:?}"), with_header("alg", json!(alg))));
        let unsigned = header().to_string().replace("RS256", alg);
        let unsigned = format!("{}.{}.", encode(unsigned), encode(claims().to_string()));
        shapes.push(shape(format!("alg {alg:?}, unsigned"), unsigned));
    }
    for alg in [json!(null), json!(["RS256"]), json!(256), json!({"RS256": 1})] {
        shapes.push(shape(format!("alg {alg}"), with_header("alg", alg)));
    }
    for kid in [
        json!(null),
        json!(""),
        json!("k".repeat(201)),
        json!("k".repeat(5000)),
        json!("../../../../dev/null"),
        json!("' OR 1=1--"),
        json!("k1\0"),
        json!("k1\n"),
        json!("ké"),
        json!("K1"),
        json!("unknown"),
        json!(["k1"]),
        json!(1),
        json!({"k1": 1}),
        json!(true),
    ] {
        shapes.push(shape(format!("kid {kid}"), with_header("kid", kid)));
    }
    for typ in [json!("JWS"), json!("at+jwt"), json!(""), json!(1), json!(["JWT"])] {
        shapes.push(shape(format!("typ {typ}"), with_header("typ", typ)));
    }
    for (name, value) in [
        ("crit", json!(["b64"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
        ("jku", json!(canary)),
        ("x5u", json!(canary)),
        ("jwk", jwk(0, "k1")),
        ("x5c", json!(["MIIB"])),
    ] {
        shapes.push(shape(format!("{name} {value}"), with_header(name, value)));
    }
    let text = header().to_string();
    for (name, header) in [
        ("kid twice", text.replace('}', r#","kid":"k1"}"#)),
        ("alg twice", text.replace('}', r#","alg":"none"}"#)),
        ("alg twice, escaped", text.replace('}', r#","\u0061lg":"RS256"}"#)),
        ("array", format!("[{text}]")),
        ("string", json!(text).to_string()),
        ("trailing text", format!("{text} x")),
        ("two objects", format!("{text}{text}")),
        ("byte order mark", format!("\u{feff}{text}")),
        ("not JSON", "alg=RS256".to_owned()),
        ("null", "null".to_owned()),
    ] {
        shapes.push(shape(format!("header: {name}"), sign(&header, &claims().to_string())));
    }
    shapes
}

/// Signatures by anything but our key.
fn signatures() -> Vec<Shape> {
    let public = PAIRS[0].public_key();
    let der = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(public).unwrap();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(der.as_ref())
    );
    let n = jwk(0, "k1")["n"].as_str().unwrap().to_owned();
    let (head, body) = (header().to_string(), claims().to_string());
    let secrets: [(&str, &[u8]); 5] = [
        ("PEM", pem.as_bytes()),
        ("DER", der.as_ref()),
        ("PKCS#1", public.as_ref()),
        ("JWK n", n.as_bytes()),
        ("nothing", b""),
    ];
    let mut shapes = Vec::new();
    for (name, secret) in secrets {
        for alg in ["HS256", "RS256"] {
            let message = format!("{}.{}", encode(head.replace("RS256", alg)), encode(&body));
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
            let token = format!("{message}.{}", encode(tag));
            shapes.push(shape(format!("{alg} by HMAC with {name}"), token));
        }
    }
    shapes.push(shape("another key", sign_as(1, &RSA_PKCS1_SHA256, &head, &body)));
    shapes.push(shape("SHA-384 as RS256", sign_as(0, &RSA_PKCS1_SHA384, &head, &body)));
    shapes.push(shape("SHA-512 as RS256", sign_as(0, &RSA_PKCS1_SHA512, &head, &body)));
    shapes.push(shape("PSS as RS256", sign_as(0, &RSA_PSS_SHA256, &head, &body)));
    let ps256 = head.replace("RS256", "PS256");
    shapes.push(shape("PS256", sign_as(0, &RSA_PSS_SHA256, &ps256, &body)));
    let rs384 = head.replace("RS256", "RS384");
    shapes.push(shape("RS384", sign_as(0, &RSA_PKCS1_SHA384, &rs384, &body)));

    // The parts of two good tokens, exchanged.
    let (alice, bob) = (token(|_, _| {}), with_claim("email", json!("bob@example.com")));
    let (alice_message, _) = alice.rsplit_once('.').unwrap();
    let (_, bob_signature) = bob.rsplit_once('.').unwrap();
    shapes.push(shape("another's signature", format!("{alice_message}.{bob_signature}")));
    let expired = sign_as(1, &RSA_PKCS1_SHA256, &head, &body.replace("18000", "17000"));
    shapes.push(shape("forged and expired", expired));
    shapes
}

/// Claims that are not Firebase's.
fn wrong_claims() -> Vec<Shape> {
    let mut shapes = Vec::new();
    let mut claim = |name: &str, values: Vec<Value>| {
        for value in values {
            shapes.push(shape(format!("{name} {value}"), with_claim(name, value)));
        }
    };
    claim("aud", vec![json!(null), json!(""), json!("demo-tesu"), json!("Demo-test"), json!(1)]);
    claim("aud", vec![json!(["demo-test"]), json!({"demo-test": 1}), json!("demo-test ")]);
    claim(
        "iss",
        vec![json!(null), json!(""), json!([ISSUER]), json!(1), json!(format!("{ISSUER}/"))],
    );
    claim("iss", vec![json!("https://securetoken.google.com/demo-tesu")]);
    claim("iss", vec![json!("https://session.firebase.google.com/demo-test")]);
    claim("iss", vec![json!("http://securetoken.google.com/demo-test")]);
    claim("sub", vec![json!(null), json!(""), json!(1), json!(["alice"]), json!("bob")]);
    claim("sub", vec![json!("a".repeat(129)), json!("alice\0"), json!("al\nice")]);
    claim("user_id", vec![json!("bob"), json!(""), json!(1), json!(["alice"])]);
    let not_times = || {
        let texts = [json!("soon"), json!(NOW.to_string()), json!([NOW]), json!(true)];
        let numbers = [json!(1.0e9), json!(1_799_999_999.5), json!(-1), json!(u64::MAX)];
        texts.into_iter().chain(numbers).collect::<Vec<_>>()
    };
    for name in ["exp", "iat", "auth_time"] {
        claim(name, [vec![json!(null)], not_times()].concat());
    }
    claim("nbf", not_times());
    for name in ["iat", "auth_time", "nbf"] {
        claim(name, vec![json!(NOW + 31), json!(NOW + 3600), json!(i64::MAX)]);
    }

    let (head, text) = (header().to_string(), claims().to_string());
    let last = text.strip_suffix('}').unwrap();
    for (name, claims) in [
        ("sub twice", format!(r#"{last},"sub":"alice"}}"#)),
        ("sub twice, escaped", format!(r#"{last},"\u0073ub":"bob"}}"#)),
        ("aud twice", format!(r#"{last},"aud":"demo-test"}}"#)),
        ("a key twice, deep down", format!(r#"{last},"x":{{"a":1,"a":2}}}}"#)),
        ("null as a time", format!(r#"{last},"nbf":null}}"#)),
        ("exponent as a time", text.replace(&(NOW + 3540).to_string(), "18e8")),
        ("future iat, past nbf", {
            let future = format!(r#""iat":{}"#, NOW + 31);
            format!(r#"{},"nbf":1}}"#, last.replace(&format!(r#""iat":{}"#, NOW - 60), &future))
        }),
        ("array", format!("[{text}]")),
        ("another token", token(|_, _| {})),
        ("not JSON", "sub=alice".to_owned()),
    ] {
        shapes.push(shape(format!("claims: {name}"), sign(&head, &claims)));
    }
    let not_utf8 = b"{\"sub\":\"\xff\"}";
    shapes.push(shape("claims: not UTF-8", {
        let token = sign(&head, &text);
        let body = token.split('.').nth(1).unwrap();
        token.replace(body, &encode(not_utf8))
    }));
    // Signed by the developer's own key for `signInWithCustomToken`, here even with ours.
    shapes.push(shape("custom token", {
        let account = "firebase-adminsdk@demo-test.iam.gserviceaccount.com";
        let aud = "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1";
        let identity = format!("{aud}.IdentityToolkit");
        let claims = json!({"iss": account, "sub": account, "aud": identity, "uid": "alice",
            "iat": NOW, "exp": NOW + 3600});
        sign(&head, &claims.to_string())
    }));
    shapes
}

/// Tokens whose time is over. That is only said of those that were good.
fn expired() -> Vec<Shape> {
    let old = |name: &str, value: Value| {
        token(|header, claims| {
            claims.insert("exp".to_owned(), json!(NOW - 31));
            let part = if name == "kid" { header } else { claims };
            part.insert(name.to_owned(), value);
        })
    };
    let expired = |name: &str, token| Shape { reason: "TOKEN_EXPIRED", ..shape(name, token) };
    vec![
        expired("expired", old("x", json!(1))),
        expired("expired in 1970", with_claim("exp", json!(0))),
        expired("expired just now", with_claim("exp", json!(NOW - 30))),
        shape("expired, for another", old("aud", json!("demo-tesu"))),
        shape("expired, nobody's", old("sub", json!(""))),
        shape("expired, from the future", old("iat", json!(NOW + 31))),
        shape("expired, by an unknown key", old("kid", json!("unknown"))),
    ]
}
