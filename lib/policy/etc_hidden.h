/* SPDX-License-Identifier: Apache-2.0 */
/* What of /etc no sandbox sees: one list for what is mounted and for what `check --path` answers. */
#ifndef NSBOX_POLICY_ETC_HIDDEN_H
#define NSBOX_POLICY_ETC_HIDDEN_H

/* Credentials, keys, and the host's administration. "a/b": b is hidden in the host's directory a. */
static const char *const etc_hidden[] = {
	"shadow", "shadow-", "gshadow", "gshadow-", "sudoers", "sudoers.d", "sudo.conf", "ssh", "ssl/private",
	"security/opasswd", "pki/tls/private", "pki/nssdb", "krb5.keytab", "krb5.keytab.d", "letsencrypt", "wireguard",
	"openvpn", "ipsec.conf", "ipsec.secrets", "ipsec.d", "swanctl", "strongswan.d", "ppp", "NetworkManager",
	"wpa_supplicant", "wpa_supplicant.conf", "iwd", "netplan", "network", "crypttab", "cryptsetup-keys.d", "fstab",
	"machine-id", "docker", "containerd", "containers", "kubernetes", "rancher", "cni", "libvirt", "samba", "cifs-utils",
	"ceph", "iscsi", "exports", "apt/auth.conf", "apt/auth.conf.d", "mysql/debian.cnf", "postfix", "exim4", "bind",
	"polkit-1", "audit", "cloud", "grub.d", "cron.d", "cron.daily", "cron.hourly", "cron.weekly", "cron.monthly",
	"crontab", "credstore", "credstore.encrypted", "davfs2", "nsbox",
};

#endif
