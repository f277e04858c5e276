package fd

import (
	"math/bits"

	"golang.org/x/sys/unix"
)

// Options that golang.org/x/sys/unix has no constants for (linux/in.h, linux/in6.h).
const (
	udpliteSendCscov, udpliteRecvCscov, icmpFilter = 10, 11, 1

	ipRecvfragsize   = 25
	ipRecverrRFC4884 = 26
	ipLocalPortRange = 51
	ipv6MulticastAll = 29
	ipv6RecverrRFC   = 31
	ipv6FlowInfo     = 11
	ipv6FlowInfoSend = 33
)

// bindOptions are set before bind(2) and connect(2): these system calls depend on them.
var bindOptions = optionTable{
	"dont_route":           {unix.SOL_SOCKET, unix.SO_DONTROUTE, 1, false, 0},
	"mark":                 {unix.SOL_SOCKET, unix.SO_MARK, 1, false, 0},
	"reuse_addr":           {unix.SOL_SOCKET, unix.SO_REUSEADDR, 1, false, 0},
	"reuse_port":           {unix.SOL_SOCKET, unix.SO_REUSEPORT, 1, false, 0},
	"bind_address_no_port": {unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1, false, 0},
	"ip_free_bind":         {unix.SOL_IP, unix.IP_FREEBIND, 1, false, 0},
	"ip_transparent":       {unix.SOL_IP, unix.IP_TRANSPARENT, 1, false, 0},
	"ip_header_included":   {unix.SOL_IP, unix.IP_HDRINCL, 1, false, 0},
	"ipv6_only":            {unix.SOL_IPV6, unix.IPV6_V6ONLY, 1, false, 0},
	"ipv6_free_bind":       {unix.SOL_IPV6, unix.IPV6_FREEBIND, 1, false, 0},
	"ipv6_transparent":     {unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1, false, 0},
	"udp_gro":              {unix.SOL_UDP, unix.UDP_GRO, 1, false, 0},
	"local_port_range":     {unix.SOL_IP, ipLocalPortRange, 1, false, 0},
}

// inetOptions are the options of IPv4 and IPv6 sockets that can be set at any time (ip(7), ipv6(7)). Sockets of IPv6 have those of
// IPv4 as well.
var inetOptions = optionTable{
	"timestamp_new":      {unix.SOL_SOCKET, unix.SO_TIMESTAMP_NEW, 1, false, 0},
	"timestampns_new":    {unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 1, false, 0},
	"max_pacing_rate":    {unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE, 2, false, 0},
	"no_check":           {unix.SOL_SOCKET, unix.SO_NO_CHECK, 1, false, 0},
	"prefer_busy_poll":   {unix.SOL_SOCKET, unix.SO_PREFER_BUSY_POLL, 1, false, 0},
	"receive_mark":       {unix.SOL_SOCKET, unix.SO_RCVMARK, 1, false, 0},
	"receive_priority":   {unix.SOL_SOCKET, unix.SO_RCVPRIORITY, 1, false, 0},
	"receive_overflow":   {unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1, false, 0},
	"select_error_queue": {unix.SOL_SOCKET, unix.SO_SELECT_ERR_QUEUE, 1, false, 0},
	"transmit_time":      {unix.SOL_SOCKET, unix.SO_TXTIME, 2, false, 0},
	"zero_copy":          {unix.SOL_SOCKET, unix.SO_ZEROCOPY, 1, false, 0},

	"ip_checksum":          {unix.SOL_IP, unix.IP_CHECKSUM, 1, false, 0},
	"ip_min_ttl":           {unix.SOL_IP, unix.IP_MINTTL, 1, false, 0},
	"ip_mtu_discover":      {unix.SOL_IP, unix.IP_MTU_DISCOVER, 1, false, 0},
	"ip_no_defrag":         {unix.SOL_IP, unix.IP_NODEFRAG, 1, false, 0},
	"ip_pass_security":     {unix.SOL_IP, unix.IP_PASSSEC, 1, false, 0},
	"ip_pktinfo":           {unix.SOL_IP, unix.IP_PKTINFO, 1, false, 0},
	"ip_recverr":           {unix.SOL_IP, unix.IP_RECVERR, 1, false, 0},
	"ip_recverr_rfc4884":   {unix.SOL_IP, ipRecverrRFC4884, 1, false, 0},
	"ip_recvfragsize":      {unix.SOL_IP, ipRecvfragsize, 1, false, 0},
	"ip_recvopts":          {unix.SOL_IP, unix.IP_RECVOPTS, 1, false, 0},
	"ip_recvorigdstaddr":   {unix.SOL_IP, unix.IP_RECVORIGDSTADDR, 1, false, 0},
	"ip_recvtos":           {unix.SOL_IP, unix.IP_RECVTOS, 1, false, 0},
	"ip_recvttl":           {unix.SOL_IP, unix.IP_RECVTTL, 1, false, 0},
	"ip_retopts":           {unix.SOL_IP, unix.IP_RETOPTS, 1, false, 0},
	"ip_tos":               {unix.SOL_IP, unix.IP_TOS, 1, false, 0},
	"ip_ttl":               {unix.SOL_IP, unix.IP_TTL, 1, false, 0},
	"ipv6_address_choice":  {unix.SOL_IPV6, unix.IPV6_ADDR_PREFERENCES, 1, false, 0},
	"ipv6_auto_flow_label": {unix.SOL_IPV6, unix.IPV6_AUTOFLOWLABEL, 1, false, 0},
	"ipv6_dont_fragment":   {unix.SOL_IPV6, unix.IPV6_DONTFRAG, 1, false, 0},
	"ipv6_flow_info":       {unix.SOL_IPV6, ipv6FlowInfo, 1, false, 0},
	"ipv6_flow_info_send":  {unix.SOL_IPV6, ipv6FlowInfoSend, 1, false, 0},
	"ipv6_min_hops":        {unix.SOL_IPV6, unix.IPV6_MINHOPCOUNT, 1, false, 0},
	"ipv6_mtu_discover":    {unix.SOL_IPV6, unix.IPV6_MTU_DISCOVER, 1, false, 0},
	"ipv6_recvdstopts":     {unix.SOL_IPV6, unix.IPV6_RECVDSTOPTS, 1, false, 0},
	"ipv6_recverr":         {unix.SOL_IPV6, unix.IPV6_RECVERR, 1, false, 0},
	"ipv6_recverr_rfc4884": {unix.SOL_IPV6, ipv6RecverrRFC, 1, false, 0},
	"ipv6_recvfragsize":    {unix.SOL_IPV6, unix.IPV6_RECVFRAGSIZE, 1, false, 0},
	"ipv6_recvhoplimit":    {unix.SOL_IPV6, unix.IPV6_RECVHOPLIMIT, 1, false, 0},
	"ipv6_recvhopopts":     {unix.SOL_IPV6, unix.IPV6_RECVHOPOPTS, 1, false, 0},
	"ipv6_recvorigdstaddr": {unix.SOL_IPV6, unix.IPV6_RECVORIGDSTADDR, 1, false, 0},
	"ipv6_recvpathmtu":     {unix.SOL_IPV6, unix.IPV6_RECVPATHMTU, 1, false, 0},
	"ipv6_recvpktinfo":     {unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, 1, false, 0},
	"ipv6_recvrthdr":       {unix.SOL_IPV6, unix.IPV6_RECVRTHDR, 1, false, 0},
	"ipv6_recvtclass":      {unix.SOL_IPV6, unix.IPV6_RECVTCLASS, 1, false, 0},
	"ipv6_traffic_class":   {unix.SOL_IPV6, unix.IPV6_TCLASS, 1, false, 0},
	"ipv6_unicast_hops":    {unix.SOL_IPV6, unix.IPV6_UNICAST_HOPS, 1, false, 0},
	"ipv6_old_pktinfo":     {unix.SOL_IPV6, unix.IPV6_2292PKTINFO, 1, false, 0},
	"ipv6_old_hoplimit":    {unix.SOL_IPV6, unix.IPV6_2292HOPLIMIT, 1, false, 0},
	"ipv6_old_hopopts":     {unix.SOL_IPV6, unix.IPV6_2292HOPOPTS, 1, false, 0},
	"ipv6_old_dstopts":     {unix.SOL_IPV6, unix.IPV6_2292DSTOPTS, 1, false, 0},
	"ipv6_old_rthdr":       {unix.SOL_IPV6, unix.IPV6_2292RTHDR, 1, false, 0},
}

// datagramOptions are those of UDP, UDP-Lite, ICMP and raw sockets (udp(7), udplite(7), icmp(7), raw(7)).
var datagramOptions = optionTable{
	"incoming_cpu":         {unix.SOL_SOCKET, unix.SO_INCOMING_CPU, 1, false, 0},
	"no_fcs":               {unix.SOL_SOCKET, unix.SO_NOFCS, 1, false, 0},
	"wifi_status":          {unix.SOL_SOCKET, unix.SO_WIFI_STATUS, 1, false, 0},
	"ip_multicast_all":     {unix.SOL_IP, unix.IP_MULTICAST_ALL, 1, false, 0},
	"ip_multicast_if":      {unix.SOL_IP, unix.IP_MULTICAST_IF, 1, false, 0},
	"ip_multicast_loop":    {unix.SOL_IP, unix.IP_MULTICAST_LOOP, 1, false, 0},
	"ip_multicast_ttl":     {unix.SOL_IP, unix.IP_MULTICAST_TTL, 1, false, 0},
	"ipv6_multicast_all":   {unix.SOL_IPV6, ipv6MulticastAll, 1, false, 0},
	"ipv6_multicast_hops":  {unix.SOL_IPV6, unix.IPV6_MULTICAST_HOPS, 1, false, 0},
	"ipv6_multicast_loop":  {unix.SOL_IPV6, unix.IPV6_MULTICAST_LOOP, 1, false, 0},
	"udp_cork":             {unix.SOL_UDP, unix.UDP_CORK, 1, false, 0},
	"udp_segment":          {unix.SOL_UDP, unix.UDP_SEGMENT, 1, false, 0},
	"udp_no_check6_send":   {unix.SOL_UDP, unix.UDP_NO_CHECK6_TX, 1, false, 0},
	"udp_no_check6_take":   {unix.SOL_UDP, unix.UDP_NO_CHECK6_RX, 1, false, 0},
	"udplite_send_cscov":   {unix.IPPROTO_UDPLITE, udpliteSendCscov, 1, false, 0},
	"udplite_recv_cscov":   {unix.IPPROTO_UDPLITE, udpliteRecvCscov, 1, false, 0},
	"icmp_filter":          {unix.SOL_RAW, icmpFilter, 1, false, 0},
	"icmp6_filter":         {unix.SOL_ICMPV6, unix.ICMPV6_FILTER, 8, false, 0},
	"ipv6_checksum":        {unix.SOL_RAW, unix.IPV6_CHECKSUM, 1, false, 0},
	"ipv6_header_included": {unix.SOL_IPV6, unix.IPV6_HDRINCL, 1, false, 0},
}

// An indexOption is an option whose value is the index of a network interface. An image has its name.
type indexOption struct {
	option  socketOption
	swapped bool // the index is in network byte order
}

var indexOptions = map[string]indexOption{
	"ipv6_multicast_if": {socketOption{unix.SOL_IPV6, unix.IPV6_MULTICAST_IF, 1, false, 0}, false},
	"ipv6_unicast_if":   {socketOption{unix.SOL_IPV6, unix.IPV6_UNICAST_IF, 1, false, 0}, true},
	"ip_unicast_if":     {socketOption{unix.SOL_IP, unix.IP_UNICAST_IF, 1, false, 0}, true},
}

// get returns the index, or 0.
func (o indexOption) get(socket int) uint32 {
	value := o.option.get(socket)
	if value == nil {
		return 0
	}
	return o.swap(uint32(value[0]))
}

func (o indexOption) set(socket, index int) error {
	return o.option.set(socket, []int32{int32(o.swap(uint32(index)))})
}

func (o indexOption) swap(index uint32) uint32 {
	if o.swapped {
		return bits.ReverseBytes32(index)
	}
	return index
}
