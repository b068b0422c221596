//! Who gets nothing, and what they are told.

use std::fs;

use signed_list::list::Scope;
use signed_list::release::Class;

use super::peers::{Network, dig, eventually, output, serve, write_key};
use super::world::World;

const ZONE: &str = "operator.rpz.afw.example";

async fn published(test: &str) -> World {
    let world = World::new(test).await;
    world.list("case/1", Class::Operator, "malware", "listed.test", Scope::Exact).await;
    world.legal("case/2", "secret-legal.test").await;
    world.publish().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_what_a_network_does_not() {
    let network = Network::new();
    let mut world = published("keys").await;
    let file = world.work.directory().join("isp.key");
    write_key(&file, "isp");
    world.set("keys = []", "keys = [\"isp.key\"]");
    world.set("allow = [\"127.0.0.0/8\", \"::1/128\"]", "allow = [\"192.0.2.0/24\"]");
    let _server = serve(&network, world.work.directory());
    let server = network.address(1);

    let told = dig(server, &[ZONE, "AXFR"]);
    assert!(told.contains("Transfer failed") && !told.contains("listed.test"), "{told}");
    let told = dig(server, &[ZONE, "SOA"]);
    assert!(told.contains("REFUSED") && told.contains("EDE: 18") && told.contains("sign with a TSIG key"), "{told}");

    let file = file.display().to_string();
    let told = dig(server, &["-k", &file, ZONE, "AXFR"]);
    assert!(told.contains("listed.test.operator.rpz.afw.example.") && told.contains("NOERROR"), "{told}");
    assert!(!told.contains("verify"), "{told}");
    let told = dig(server, &["-k", &file, ZONE, "SOA"]);
    assert!(told.contains("localhost. hostmaster.localhost. 1 300 60"), "{told}");

    let wrong = world.directory.join("wrong.key");
    for (name, error) in [("isp", "BADSIG"), ("nobody", "BADKEY")] {
        write_key(&wrong, name);
        for kind in ["AXFR", "SOA"] {
            let told = dig(server, &["-k", &wrong.display().to_string(), ZONE, kind]);
            assert!(!told.contains("listed.test"), "{told}");
            assert!(kind == "AXFR" || told.contains("NOTAUTH") && told.contains(error), "{error}: {told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_legal_list_is_refused_with_the_reason() {
    let network = Network::new();
    let world = published("legal").await;
    let server = serve(&network, world.work.directory());
    for zone in ["legal.rpz.afw.example", "csam.rpz.afw.example"] {
        let told = dig(network.address(1), &[zone, "SOA"]);
        assert!(told.contains("status: REFUSED") && told.contains("EDE: 18"), "{told}");
        assert!(told.contains("the legal list never leaves in clear"), "{told}");
        let told = dig(network.address(1), &[zone, "AXFR"]);
        assert!(told.contains("Transfer failed"), "{told}");
    }
    let told = dig(network.address(1), &["other.example", "SOA"]);
    assert!(told.contains("status: NOTAUTH") && told.contains("EDE: 20"), "{told}");
    let told = dig(network.address(1), &[&format!("listed.test.{ZONE}"), "A"]);
    assert!(told.contains("status: NOTAUTH") && !told.contains("CNAME"), "{told}");
    let told = dig(network.address(1), &["+notcp", ZONE, "IXFR=0"]);
    assert!(!told.contains("listed.test"), "over UDP the SOA record alone: {told}");
    assert!(!server.said().contains("secret-legal"));

    let told = world.run(&["serve", "--zones", "127.0.0.1:0", "--work", "work", "--class", "legal"]);
    told.failed_with(&["--class legal", "never leaves in clear"]);
    let path = world.work.directory().join("release.toml");
    let text = fs::read_to_string(&path).unwrap().replace("[\"operator\", \"venue\"]", "[\"legal\"]");
    fs::write(&path, text).unwrap();
    world
        .run(&["serve", "--zones", "127.0.0.1:0", "--work", "work"])
        .failed_with(&["release.toml", "never leaves in clear"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_others_can_read_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let mut world = published("mode").await;
    let file = world.work.directory().join("isp.key");
    write_key(&file, "isp");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    world.set("keys = []", "keys = [\"isp.key\"]");
    let serve = ["serve", "--zones", "127.0.0.1:0", "--work", "work"];
    world.run(&serve).failed_with(&["isp.key", "mode 644", "chmod 600"]);
    fs::remove_file(&file).unwrap();
    world.run(&serve).failed_with(&["isp.key", "No such file"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_legal_name_is_in_any_zone_or_transfer() {
    let network = Network::new();
    let world = published("no-legal").await;
    let server = serve(&network, world.work.directory());
    let mut seen = 0;
    for folder in ["rpz", "lists/operator", "lists/venue", "lists/legal"] {
        for entry in fs::read_dir(world.work.directory().join(folder)).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rpz") {
                assert!(folder != "lists/legal", "{}", path.display());
                let text = fs::read_to_string(&path).unwrap();
                assert!(!text.contains("secret-legal") && !text.contains("csam"), "{}", path.display());
                seen += 1;
                // In the zone in force under its own name.
                let zone = format!("{}.rpz.afw.example", path.file_stem().unwrap().to_str().unwrap());
                if folder == "rpz" {
                    let told = output(
                        "kdig",
                        "knot-dnsutils",
                        &[&format!("@{}", network.address(1).ip()), "-p", "5353", &zone, "AXFR"],
                    );
                    assert!(told.contains("SOA") && !told.contains("secret-legal"), "{zone}: {told}");
                }
            }
        }
    }
    assert!(seen >= 4, "{seen}");
    assert!(eventually(|| server.said().contains("AXFR")), "{}", server.said());
}
