//! Who is at the other end of a connection: the kernel says it for the Unix socket, a bearer token for TCP.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use tokio::net::unix::UCred;

use crate::authority::{Actor, Role};

/// The other end of a connection.
#[derive(Clone, Debug)]
pub enum Peer {
    /// On the Unix socket: who it is, or why they are refused.
    Local(Result<Actor, String>),
    /// On TCP: a token has to say who it is.
    Remote(SocketAddr),
}

/// Whom the kernel says is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// The process; `None` where it is of another PID namespace.
    pub pid: Option<i32>,
}

impl From<UCred> for Credentials {
    fn from(cred: UCred) -> Self {
        Credentials { uid: cred.uid(), gid: cred.gid(), pid: cred.pid().filter(|pid| *pid > 0) }
    }
}

/// Who someone on the Unix socket is: root and the daemon's own user are admin, members of the group `operators` are
/// operator, everyone else is refused. Reads small files of this machine.
///
/// # Errors
/// Why they are refused, for them.
pub fn actor(credentials: Credentials, own_uid: u32, operators: &str) -> Result<Actor, String> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = user_name(&passwd, credentials.uid);
    let name = match user {
        Some(user) => format!("{user} (uid {})", credentials.uid),
        None => format!("uid {}", credentials.uid),
    };
    if credentials.uid == 0 || credentials.uid == own_uid {
        return Ok(Actor { name, role: Role::Admin });
    }
    let groups = fs::read_to_string("/etc/group").map_err(|error| format!("/etc/group cannot be read: {error}"))?;
    let member = group(&groups, operators).is_some_and(|(gid, members)| {
        credentials.gid == gid
            || user.is_some_and(|user| members.contains(&user))
            || credentials.pid.is_some_and(|pid| process_has_group(pid, credentials.uid, gid))
    });
    if member {
        return Ok(Actor { name, role: Role::Operator });
    }
    Err(format!("{name} is neither root, nor the daemon's user, nor a member of the group {operators}"))
}

/// Whether a process of this user has a supplementary group (which may come from elsewhere than /etc/group). The user
/// must be the same throughout: between the connection and this look the process may have become another.
fn process_has_group(pid: i32, uid: u32, gid: u32) -> bool {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap_or_default();
    status_has_group(&status, uid, gid)
}

fn status_has_group(status: &str, uid: u32, gid: u32) -> bool {
    let numbers = |key: &str| -> Option<Vec<u32>> {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().map(|number| number.parse().ok()).collect()
    };
    let same_user = numbers("Uid:").is_some_and(|uids| uids.len() == 4 && uids.iter().all(|found| *found == uid));
    same_user && numbers("Groups:").is_some_and(|groups| groups.contains(&gid))
}

/// The id and members of a group of /etc/group (group(5)).
pub(super) fn group<'a>(groups: &'a str, name: &str) -> Option<(u32, Vec<&'a str>)> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let gid = fields.nth(1)?.parse().ok()?;
        Some((gid, fields.next().unwrap_or_default().split(',').filter(|member| !member.is_empty()).collect()))
    })
}

/// The name of a user of /etc/passwd (passwd(5)).
fn user_name(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::{Credentials, actor, group, status_has_group, user_name};
    use crate::authority::Role;

    #[test]
    fn root_and_the_own_user_are_admin_and_strangers_nobody() {
        let who = |uid| actor(Credentials { uid, gid: 65_533, pid: None }, 4_000_000, "no-such-group");
        assert_eq!(who(0).map(|actor| actor.role), Ok(Role::Admin));
        assert_eq!(who(4_000_000).map(|actor| actor.role), Ok(Role::Admin));
        let refused = who(4_000_001).expect_err("a stranger");
        assert!(refused.contains("uid 4000001") && refused.contains("no-such-group"), "{refused}");
    }

    #[test]
    fn the_primary_group_counts() {
        // Group 0 is `root` on every Linux machine.
        let operator = actor(Credentials { uid: 4_000_001, gid: 0, pid: None }, 4_000_000, "root");
        assert_eq!(operator.map(|actor| actor.role), Ok(Role::Operator));
    }

    #[test]
    fn groups_and_users_are_found_by_their_whole_name() {
        let groups = "root:x:0:\ntrueup-old:x:7:mallory\ntrueup:x:990:alice,bob\nbroken:x:many:carol\n";
        assert_eq!(group(groups, "trueup"), Some((990, vec!["alice", "bob"])));
        assert_eq!(group(groups, "broken"), None);
        assert_eq!(group(groups, "nobody"), None);
        let passwd = "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n";
        assert_eq!((user_name(passwd, 1000), user_name(passwd, 100)), (Some("alice"), None));
    }

    #[test]
    fn a_process_that_became_another_user_vouches_for_nobody() {
        let status = "Name:\tsh\nUid:\t1000\t1000\t1000\t1000\nGroups:\t27 990 \n";
        assert!(status_has_group(status, 1000, 990));
        assert!(!status_has_group(status, 1000, 99));
        assert!(!status_has_group(status, 1001, 990));
        assert!(!status_has_group("Uid:\t1000\t0\t0\t0\nGroups:\t990\n", 1000, 990));
        assert!(!status_has_group("", 1000, 990));
    }
}
