//! The users of this machine, from `/etc/passwd` and `/etc/group`. Users that only a directory service knows are not
//! found: asking for them takes the C library's name service, which cannot be called safely from here.

use std::io;

use serde::{Deserialize, Serialize};

/// A user as a process needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    /// Its name.
    pub(super) name: String,
    /// Its number.
    pub(super) uid: u32,
    /// Its primary group.
    pub(super) gid: u32,
    /// All its groups, the primary among them; sorted.
    pub(super) groups: Vec<u32>,
    /// Its home directory, as listed.
    pub(super) home: String,
}

/// Finds a user by name; `None` where there is none.
///
/// # Errors
/// The files cannot be read.
pub(super) fn by_name(name: &str) -> io::Result<Option<User>> {
    let (passwd, group) = (std::fs::read_to_string("/etc/passwd")?, std::fs::read_to_string("/etc/group")?);
    Ok(find(&passwd, &group, |entry_name, _| entry_name == name))
}

/// Finds a user by number; `None` where there is none.
///
/// # Errors
/// The files cannot be read.
pub(super) fn by_uid(uid: u32) -> io::Result<Option<User>> {
    let (passwd, group) = (std::fs::read_to_string("/etc/passwd")?, std::fs::read_to_string("/etc/group")?);
    Ok(find(&passwd, &group, |_, entry_uid| entry_uid == uid))
}

fn find(passwd: &str, group: &str, wanted: impl Fn(&str, u32) -> bool) -> Option<User> {
    let mut user = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, ..] = fields.as_slice() else { return None };
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        wanted(name, uid).then(|| User {
            name: (*name).to_owned(),
            uid,
            gid,
            groups: vec![gid],
            home: (*home).to_owned(),
        })
    })?;
    for line in group.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, gid, members, ..] = fields.as_slice() else { continue };
        if let (Ok(gid), true) = (gid.parse(), members.split(',').any(|member| member == user.name)) {
            user.groups.push(gid);
        }
    }
    user.groups.sort_unstable();
    user.groups.dedup();
    Some(user)
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn a_user_with_its_groups() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:33:web:/srv/web:/usr/sbin/nologin\n";
        let group = "root:x:0:\nweb:x:33:\nlogs:x:40:syslog,web\nother:x:41:webber\n";
        let web = find(passwd, group, |name, _| name == "web").expect("there");
        assert_eq!((web.uid, web.gid, web.groups.as_slice(), web.home.as_str()), (33, 33, &[33, 40][..], "/srv/web"));
        assert!(find(passwd, group, |name, _| name == "we").is_none());
        assert_eq!(find(passwd, group, |_, uid| uid == 0).expect("there").name, "root");
    }
}
