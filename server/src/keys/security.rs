//! Properties of authentication, ACLs and TLS.

use super::Key;
use super::Kind::Property;
use crate::value::Fault;

const TLS: &str = "there is no TLS port in this release";
const SASL: &str = "SASL";
const KERBEROS: &str = "there is no Kerberos login in this release";

pub(super) const KEYS: &[Key] = &[
    Key::honoured(Property, "skipACL", "no", "`yes`: ACLs are not checked", |draft, given| {
        draft.settings.core.auth.skip_acl = given.value == "yes";
        Ok(())
    }),
    Key::honoured(
        Property,
        "authProvider.*",
        "none",
        "A class ending in SASLAuthenticationProvider or X509AuthenticationProvider: ACLs of that scheme are \
         accepted (logging in by it is not part of this release). Classes of your own cannot be loaded",
        |draft, given| match given.value.rsplit('.').next() {
            Some("SASLAuthenticationProvider") => {
                draft.settings.core.auth.sasl = true;
                Err(Fault::Note(
                    "honoured for ACLs; logging in by SASL is not part of this release".into(),
                ))
            }
            Some("X509AuthenticationProvider") => {
                draft.settings.core.auth.x509 = true;
                Err(Fault::Note(
                    "honoured for ACLs; logging in by certificate is not part of this release"
                        .into(),
                ))
            }
            Some("DigestAuthenticationProvider" | "IPAuthenticationProvider") => Ok(()),
            Some(_) | None => {
                Err(Fault::Warning("accepted, no effect: Java classes cannot be loaded".into()))
            }
        },
    ),
    Key::honoured(
        Property,
        "DigestAuthenticationProvider.enabled",
        "true",
        "false: the scheme digest does not exist",
        |draft, given| {
            draft.settings.core.auth.digest_disabled = !(given.value.is_empty() || given.flag());
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "DigestAuthenticationProvider.digestAlg",
        "SHA1",
        "Only SHA1 is accepted",
        |_, given| match given.value {
            "SHA1" | "SHA-1" | "" => Ok(()),
            other => Err(Fault::Error(format!(
                "{other} is not supported: with another hash than SHA1 no stored digest ACL would match"
            ))),
        },
    ),
    Key::honoured(
        Property,
        "DigestAuthenticationProvider.superDigest",
        "unset",
        "`super:BASE64(SHA1(super:PASSWORD))`: who knows the password may do everything",
        |draft, given| {
            draft.settings.core.auth.super_digest = Some(given.value.to_owned());
            if given.value.contains(':') {
                Ok(())
            } else {
                Err(Fault::Mistake("no `user:hash`: nobody can log in as super by it".into()))
            }
        },
    ),
    Key::missing(Property, "X509AuthenticationProvider.superUser", "unset", "TLS for clients"),
    Key::missing(Property, "superUser", "unset", SASL),
    Key::missing(Property, "superUser.*", "unset", SASL),
    Key::missing(Property, "SASLAuthenticationProvider.superPassword", "unset", SASL),
    Key::honoured(
        Property,
        "letAnySaslUserDoX",
        "unset",
        "Id of a SASL ACL entry that matches every SASL user",
        |draft, given| {
            draft.settings.core.auth.any_sasl_user = Some(given.value.to_owned());
            Ok(())
        },
    ),
    Key::later(
        Property,
        "IPAuthenticationProvider.usexforwardedfor",
        "false",
        "the HTTP admin server",
    ),
    Key::honoured(
        Property,
        "ensembleAuthName",
        "unset",
        "Names that clients may give by the scheme ensemble, with commas between",
        |draft, given| {
            draft.settings.core.auth.ensemble_names = given.list();
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "sessionRequireClientSASLAuth",
        "false",
        "true: the same as enforce.auth.schemes=sasl",
        |draft, given| {
            draft.require_sasl = given.flag();
            if given.flag() {
                return Err(Fault::Warning(
                    "honoured, but no client can log in by SASL yet: all of them will be refused"
                        .into(),
                ));
            }
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "enforce.auth.enabled",
        "false",
        "true: who has not logged in by one of enforce.auth.schemes is refused",
        |draft, given| {
            draft.enforce_auth = given.flag();
            Ok(())
        },
    ),
    Key::honoured(
        Property,
        "enforce.auth.schemes",
        "unset",
        "See enforce.auth.enabled; with commas between",
        |draft, given| {
            draft.enforced_schemes = given.list();
            Ok(())
        },
    ),
    Key::nothing(
        Property,
        "allowSaslFailedClients",
        "false",
        "there is no SASL login that could fail in this release",
    ),
    Key::missing(Property, "sasl.serverconfig", "Server", SASL),
    Key::nothing(Property, "kinit", "/usr/bin/kinit", KERBEROS),
    Key::nothing(Property, "security.auth_to_local", "DEFAULT", KERBEROS),
    Key::nothing(Property, "requireKerberosConfig", "unset", KERBEROS),
    Key::nothing(Property, "server.realm", "unset", KERBEROS),
    Key::nothing(Property, "kerberos.removeHostFromPrincipal", "false", KERBEROS),
    Key::nothing(Property, "kerberos.removeRealmFromPrincipal", "false", KERBEROS),
    Key::nothing(Property, "kerberos.canonicalizeHostNames", "false", KERBEROS),
    Key::missing(Property, "client.portUnification", "false", "TLS for clients"),
    Key::nothing(Property, "client.certReload", "false", TLS),
    Key::nothing(Property, "fips-mode", "true", TLS),
    Key::nothing(Property, "ssl.authProvider", "x509", TLS),
    Key::nothing(Property, "ssl.sslProvider", "JDK", TLS),
    Key::nothing(Property, "ssl.keyStore.location", "unset", TLS),
    Key::nothing(Property, "ssl.keyStore.password", "unset", TLS),
    Key::nothing(Property, "ssl.keyStore.passwordPath", "unset", TLS),
    Key::nothing(Property, "ssl.keyStore.type", "by name", TLS),
    Key::nothing(Property, "ssl.trustStore.location", "unset", TLS),
    Key::nothing(Property, "ssl.trustStore.password", "unset", TLS),
    Key::nothing(Property, "ssl.trustStore.passwordPath", "unset", TLS),
    Key::nothing(Property, "ssl.trustStore.type", "by name", TLS),
    Key::nothing(Property, "ssl.protocol", "TLSv1.3", TLS),
    Key::nothing(Property, "ssl.enabledProtocols", "by protocol", TLS),
    Key::nothing(Property, "ssl.ciphersuites", "by runtime", TLS),
    Key::nothing(Property, "ssl.context.supplier.class", "unset", TLS),
    Key::nothing(Property, "ssl.hostnameVerification", "true", TLS),
    Key::nothing(Property, "ssl.clientHostnameVerification", "false", TLS),
    Key::nothing(Property, "ssl.allowReverseDnsLookup", "false", TLS),
    Key::nothing(Property, "ssl.crl", "false", TLS),
    Key::nothing(Property, "ssl.ocsp", "false", TLS),
    Key::nothing(Property, "ssl.clientAuth", "need", TLS),
    Key::nothing(Property, "ssl.handshakeDetectionTimeoutMillis", "5000", TLS),
    Key::later(Property, "ssl.quorum.*", "as for ssl.*", "TLS between servers"),
];
