"""What a program with python's zeroconf sees of a link, and says there.

    zeroconf_peer.py browse ADDRESS TYPE SECONDS     instances: name, host, addresses, port, texts
    zeroconf_peer.py addresses ADDRESS NAME SECONDS  all addresses that anybody tells of a name
    zeroconf_peer.py pretend ADDRESS TEXT...         a DNS node that is none, until killed; prints `ready`
"""

import socket
import sys
import time

from zeroconf import DNSIncoming, DNSOutgoing, DNSQuestion, IPVersion, ServiceBrowser, ServiceInfo, Zeroconf

A, PTR, IN, QUERY = 1, 12, 1, 0
GROUP = ("224.0.0.251", 5353)


class Seen:
    def __init__(self):
        self.names = []

    def add_service(self, zc, kind, name):
        self.names.append(name)

    def update_service(self, zc, kind, name):
        pass

    def remove_service(self, zc, kind, name):
        self.names.remove(name)


def browse(address, kind, seconds):
    zc = Zeroconf(interfaces=[address], ip_version=IPVersion.V4Only)
    seen = Seen()
    ServiceBrowser(zc, kind, seen)
    time.sleep(float(seconds))
    for name in sorted(seen.names):
        info = zc.get_service_info(kind, name)
        texts = " ".join(f"{k.decode()}={v.decode()}" for k, v in info.properties.items())
        print(name, info.server, ",".join(sorted(info.parsed_addresses())), info.port, texts, sep="|")
    zc.close()


def addresses(address, name, seconds):
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.bind((address, 0))
    asker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
    out = DNSOutgoing(QUERY)
    out.add_question(DNSQuestion(name, A, IN))
    asker.sendto(out.packets()[0], GROUP)
    until, found = time.time() + float(seconds), set()
    while time.time() < until:
        asker.settimeout(max(0.01, until - time.time()))
        try:
            packet, _ = asker.recvfrom(9000)
        except socket.timeout:
            break
        records = DNSIncoming(packet).answers
        found.update(r.address for r in records if r.type == A and r.name.lower() == name)
    for ip in sorted(socket.inet_ntoa(ip) for ip in found):
        print(ip)


def pretend(address, *texts):
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind((address, 7700))
    listener.listen(64)  # It takes connections and says nothing.
    zc = Zeroconf(interfaces=[address], ip_version=IPVersion.V4Only)
    kind = "_dispotify._tcp.local."
    texts = dict(text.split("=", 1) for text in texts)
    info = ServiceInfo(
        kind, "stranger." + kind, 7700, properties=texts, server="stranger.local.", addresses=[socket.inet_aton(address)]
    )
    zc.register_service(info)
    print("ready", flush=True)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    {"browse": browse, "addresses": addresses, "pretend": pretend}[sys.argv[1]](*sys.argv[2:])
