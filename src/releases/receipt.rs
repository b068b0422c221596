//! Receipts: that a release is in force here, signed, one on each line.

use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use signed_list::release::Receipt;

use super::sealed::Identity;

/// The receipt as a compact JWS (RFC 7515) with Ed25519 (RFC 8037).
pub(super) fn sign(receipt: &Receipt, identity: &Identity) -> String {
    let header = serde_json::json!({ "alg": "EdDSA", "kid": identity.resolver(), "typ": "receipt+jws" });
    let body = serde_json::to_vec(receipt).expect("plain data");
    let signed = format!("{}.{}", BASE64URL.encode(header.to_string()), BASE64URL.encode(body));
    let signature = identity.signer().sign(signed.as_bytes());
    format!("{signed}.{}", BASE64URL.encode(signature))
}

/// Adds a receipt to the file. It is on the disk when this returns: it may be handed to a regulator.
pub(super) fn keep(file: &Path, receipt: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(file)?;
    // A power cut or a full disk may have left half of a line, which must not spoil this one.
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(-1)).is_ok() {
        file.read_exact(&mut last)?;
    }
    let gap = if last == *b"\n" { "" } else { "\n" };
    file.write_all(format!("{gap}{receipt}\n").as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
    use signed_list::release::{Class, SPEC};

    use super::*;

    #[test]
    fn a_receipt_is_a_jws_that_its_key_opens_and_a_changed_one_is_not() {
        let directory = std::env::temp_dir().join(format!("friendly-receipt-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&directory));
        std::fs::create_dir_all(&directory).unwrap();
        let identity = Identity::make(&directory.join("identity")).unwrap();
        let receipt = Receipt {
            spec: SPEC,
            resolver: identity.resolver(),
            class: Class::Legal,
            serial: 3,
            hash: [1; 32],
            created: 5,
            decided_at: Some(4_000),
            applied_at: 6_000,
            software: "friendly-resolver 0".into(),
        };
        let text = sign(&receipt, &identity);
        let parts: Vec<_> = text.split('.').collect();
        let [head, body, signature] = parts[..] else { panic!("{text}") };
        let head = String::from_utf8(BASE64URL.decode(head).unwrap()).unwrap();
        assert!(head.contains("\"alg\":\"EdDSA\""), "{head}");
        assert_eq!(serde_json::from_slice::<Receipt>(&BASE64URL.decode(body).unwrap()).unwrap(), receipt);
        let signature = BASE64URL.decode(signature).unwrap();
        let key = UnparsedPublicKey::new(&ED25519, hex(&identity.receipt_key()));
        let signed = &text[..text.rfind('.').unwrap()];
        key.verify(signed.as_bytes(), &signature).unwrap();
        assert!(key.verify(signed.replace('A', "B").as_bytes(), &signature).is_err());

        let file = directory.join("receipts.jws");
        keep(&file, &text).unwrap();
        keep(&file, "second").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{text}\nsecond\n"));
        std::fs::write(&file, "half").unwrap();
        keep(&file, &text).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("half\n{text}\n"));
    }

    fn hex(digits: &str) -> Vec<u8> {
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }
}
