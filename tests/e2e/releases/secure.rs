//! Releases over HTTPS, from addresses that are pinned, and secrets that systemd keeps.

use std::fs;
use std::sync::Arc;

use signed_list::list::List;
use signed_list::release::Class;

use super::damage::start_under_clock;
use super::mirror::Mirror;
use super::{Scene, names_in};
use crate::encrypted::{NAME, key, serving};

const CLASS: Class = Class::Operator;

#[test]
fn releases_come_over_https_from_the_pinned_address_and_only_under_a_good_certificate() {
    let scene = Scene::new("https");
    let address = scene.world.address(9);
    let mirror = Mirror::secure(address, &scene.publisher.work.public(), Arc::new(serving("server")));
    // Nobody but us knows where these names are: there is no resolver that could tell.
    let settings = |name: &str| {
        let url = format!("https://{name}:{}/", mirror.port());
        format!("{}addresses = [\"{address}\"]\n", scene.settings(&[CLASS]).replace(&scene.mirror.url(), &url))
    };
    let authority = format!("SSL_CERT_FILE={}", key("root.pem").display());
    let other = "other.friendly-wifi.example";
    for (what, name, time, environment, words) in [
        ("expired", NAME, "+101y", &[authority.as_str()][..], "expired"),
        ("not valid yet", NAME, "@2020-01-01 00:00:00", &[authority.as_str()], "not valid yet"),
        ("another name", other, "+0", &[authority.as_str()], "not valid for name"),
        ("an authority that nobody knows", NAME, "+0", &[], "UnknownIssuer"),
    ] {
        let daemon = start_under_clock(&scene, time, environment, &settings(name));
        daemon.wait_for_trouble(CLASS, "unreachable", words);
        assert_eq!(daemon.serial_of(CLASS), 0, "{what}");
        daemon.kill();
    }
    assert!(mirror.asked().is_empty(), "nobody said a word through a connection that cannot be trusted");
    let daemon = start_under_clock(&scene, "+0", &[&authority], &settings(NAME));
    daemon.wait_for_serial(CLASS, 1);
    assert!(daemon.blocks("bad.example") && daemon.passes("free.example"));
    scene.operator("operator/2", "second.example");
    scene.publish();
    daemon.wait_for_serial(CLASS, 2);
    daemon.wait_for_peace(CLASS);
    assert!(daemon.blocks("second.example") && !mirror.asked().is_empty());
    assert!(scene.mirror.asked().is_empty(), "all of it came over HTTPS");
}

#[test]
fn the_identity_is_a_credential_of_systemd() {
    let scene = Scene::new("credential");
    let class = Class::Legal;
    // As systemd does: a directory that the unit alone can read, and its path in the environment.
    let place = scene.path("credentials");
    fs::create_dir(&place).expect("our own directory");
    fs::rename(scene.path("identity"), place.join("resolver-identity")).expect("our own file");
    let settings = scene.settings(&[class]).replace("\"identity\"", "\"credential:resolver-identity\"");
    let directory = format!("CREDENTIALS_DIRECTORY={}", place.display());
    let prefix = ["env", directory.as_str()];
    let daemon = scene.world.start_under(&prefix, &[scene.upstream.address()], &settings);
    daemon.wait_for_serial(class, 1);
    assert!(daemon.blocks("first.example") && daemon.passes("free.example"));
    // Without it what lies there cannot even be asked.
    scene.wait_until_kept(&daemon, class);
    let lists = names_in(&scene.state(class)).into_iter().filter(|name| name.ends_with(".list"));
    let lists: Vec<_> = lists.map(|name| fs::read(scene.state(class).join(name)).expect("a list")).collect();
    assert!(!lists.is_empty() && lists.into_iter().all(|list| List::open(list, None).is_err()));
}
