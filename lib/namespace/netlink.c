/* SPDX-License-Identifier: Apache-2.0 */
/* The few rtnetlink messages that the wire needs, through libnl's message layer. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <stdio.h>
#include <string.h>

#include "namespace/launcher_state.h"

/* The same on both ends: without ARP a sender uses its own device's address as that of the other side. */
static const uint8_t mac[6] = { 0x02, 0, 0, 0, 0, 1 };

static int code(int nl_error)
{
	static const struct {
		int nl, sys;
	} map[] = { { NLE_EXIST, EEXIST },   { NLE_PERM, EPERM },     { NLE_NOMEM, ENOMEM },
		    { NLE_OPNOTSUPP, EOPNOTSUPP }, { NLE_INVAL, EINVAL }, { NLE_NODEV, ENODEV },
		    { NLE_NOADDR, EADDRNOTAVAIL }, { NLE_NOACCESS, EACCES }, { NLE_OBJ_NOTFOUND, ENOENT } };

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (-nl_error == map[i].nl)
			return -map[i].sys;
	return nl_error < 0 ? -EIO : 0;
}

int netlink_open(struct nl_sock **ret)
{
	struct nl_sock *sock = nl_socket_alloc();

	if (!sock)
		return -ENOMEM;
	int r = nl_connect(sock, NETLINK_ROUTE);
	if (r < 0) {
		nl_socket_free(sock);
		return code(r);
	}
	*ret = sock;
	return 0;
}

void netlink_closep(struct nl_sock **sock)
{
	if (*sock)
		nl_socket_free(*sock);
}

/* Send, wait for the kernel's answer, free. */
static int done(struct nl_sock *sock, struct nl_msg *msg, int r)
{
	if (r < 0) {
		nlmsg_free(msg);
		return code(r);
	}
	return code(nl_send_sync(sock, msg));
}

int netlink_link_up(struct nl_sock *sock, const char *name, unsigned extra_flags)
{
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC,
				  .ifi_flags = IFF_UP | extra_flags,
				  .ifi_change = IFF_UP | extra_flags };
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_NEWLINK, 0);

	if (!msg)
		return -ENOMEM;
	int r = nlmsg_append(msg, &link, sizeof(link), NLMSG_ALIGNTO);
	if (r == 0)
		r = nla_put_string(msg, IFLA_IFNAME, name);
	return done(sock, msg, r);
}

int netlink_add_address(struct nl_sock *sock, const char *name, uint32_t address)
{
	struct ifaddrmsg addr = { .ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = if_nametoindex(name) };
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);

	if (!msg)
		return -ENOMEM;
	int r = nlmsg_append(msg, &addr, sizeof(addr), NLMSG_ALIGNTO);
	if (r == 0)
		r = nla_put_u32(msg, IFA_LOCAL, htonl(address));
	if (r == 0)
		r = nla_put_u32(msg, IFA_ADDRESS, htonl(address));
	return done(sock, msg, r);
}

int netlink_add_route(struct nl_sock *sock, const char *name, uint32_t destination, uint8_t prefix, uint32_t table,
		      bool local)
{
	struct rtmsg route = {
		.rtm_family = AF_INET,
		.rtm_dst_len = prefix,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = local ? RT_SCOPE_HOST : RT_SCOPE_LINK,
		.rtm_type = local ? RTN_LOCAL : RTN_UNICAST,
		.rtm_table = RT_TABLE_UNSPEC,
	};
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);

	if (!msg)
		return -ENOMEM;
	int r = nlmsg_append(msg, &route, sizeof(route), NLMSG_ALIGNTO);
	if (r == 0 && prefix)
		r = nla_put_u32(msg, RTA_DST, htonl(destination));
	if (r == 0)
		r = nla_put_u32(msg, RTA_OIF, if_nametoindex(name));
	if (r == 0)
		r = nla_put_u32(msg, RTA_TABLE, table);
	return done(sock, msg, r);
}

static int rule(struct nl_sock *sock, int type, int flags, uint32_t preference, const char *input, uint32_t table)
{
	struct fib_rule_hdr header = { .family = AF_INET, .action = FR_ACT_TO_TBL };
	struct nl_msg *msg = nlmsg_alloc_simple(type, flags);

	if (!msg)
		return -ENOMEM;
	int r = nlmsg_append(msg, &header, sizeof(header), NLMSG_ALIGNTO);
	if (r == 0)
		r = nla_put_u32(msg, FRA_PRIORITY, preference);
	if (r == 0)
		r = nla_put_u32(msg, FRA_TABLE, table);
	if (r == 0 && input)
		r = nla_put_string(msg, FRA_IIFNAME, input);
	return done(sock, msg, r);
}

int netlink_add_rule(struct nl_sock *sock, uint32_t preference, const char *input, uint32_t table)
{
	return rule(sock, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, preference, input, table);
}

int netlink_del_rule(struct nl_sock *sock, uint32_t preference, uint32_t table)
{
	return rule(sock, RTM_DELRULE, 0, preference, NULL, table);
}

static int put_peer(struct nl_msg *msg, int peer_net)
{
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC, .ifi_flags = IFF_NOARP, .ifi_change = IFF_NOARP };
	struct nlattr *peer = nla_nest_start(msg, VETH_INFO_PEER);

	if (!peer)
		return -NLE_NOMEM;
	int r = nlmsg_append(msg, &link, sizeof(link), NLMSG_ALIGNTO);
	if (r == 0)
		r = nla_put_string(msg, IFLA_IFNAME, "eth0");
	if (r == 0)
		r = nla_put(msg, IFLA_ADDRESS, sizeof(mac), mac);
	if (r == 0)
		r = nla_put_u32(msg, IFLA_NET_NS_FD, (uint32_t)peer_net);
	nla_nest_end(msg, peer);
	return r;
}

int netlink_add_veth(struct nl_sock *sock, const char *name, int peer_net)
{
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC, .ifi_flags = IFF_NOARP, .ifi_change = IFF_NOARP };
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);

	if (!msg)
		return -ENOMEM;
	int r = nlmsg_append(msg, &link, sizeof(link), NLMSG_ALIGNTO);
	if (r == 0)
		r = nla_put_string(msg, IFLA_IFNAME, name);
	if (r == 0)
		r = nla_put(msg, IFLA_ADDRESS, sizeof(mac), mac);
	struct nlattr *info = r == 0 ? nla_nest_start(msg, IFLA_LINKINFO) : NULL;
	if (info) {
		r = nla_put_string(msg, IFLA_INFO_KIND, "veth");
		struct nlattr *data = r == 0 ? nla_nest_start(msg, IFLA_INFO_DATA) : NULL;
		if (data) {
			r = put_peer(msg, peer_net);
			nla_nest_end(msg, data);
		} else if (r == 0) {
			r = -NLE_NOMEM;
		}
		nla_nest_end(msg, info);
	} else if (r == 0) {
		r = -NLE_NOMEM;
	}
	return done(sock, msg, r);
}
