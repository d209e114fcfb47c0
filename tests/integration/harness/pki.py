# SPDX-License-Identifier: Apache-2.0
"""Certificates made with the openssl command for one run of the tests: one good authority and every bad kind."""
import fcntl
import hashlib
import os
import ssl
import subprocess


def openssl(*args, **kwargs):
    subprocess.run(['openssl', *args], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.PIPE, timeout=60, **kwargs)


class Pki:
    """Files below one directory. Each certificate is made when it is first asked for."""

    def __init__(self, directory):
        self.dir = directory
        os.makedirs(directory, mode=0o755, exist_ok=True)
        self.ca = self._authority('ca', '/CN=nsbox test authority')

    def path(self, name):
        return os.path.join(self.dir, name)

    def _authority(self, name, subject):
        openssl('ecparam', '-genkey', '-name', 'prime256v1', '-noout', '-out', self.path(name + '.key'))
        openssl('req', '-new', '-x509', '-key', self.path(name + '.key'), '-subj', subject, '-days', '30',
                '-addext', 'keyUsage=critical,keyCertSign,cRLSign', '-out', self.path(name + '.pem'))
        return self.path(name + '.pem')

    def _key(self, name, kind):
        if kind == 'ec':
            openssl('ecparam', '-genkey', '-name', 'prime256v1', '-noout', '-out', self.path(name + '.key'))
        else:
            openssl('genrsa', '-out', self.path(name + '.key'), kind[3:])

    def server(self, hosts, kind='ec', digest='sha256', authority='ca', expired=False, san=True, self_signed=False):
        """Return (certificate, key) for the hosts."""
        what = repr([hosts, kind, digest, authority, expired, san, self_signed])
        name = 'server-' + hashlib.sha256(what.encode()).hexdigest()[:16]
        # Tests run side by side, each in a process of its own.
        with open(self.path('lock'), 'w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(self.path(name + '.pem')):
                self._make(name, hosts, kind, digest, authority, expired, san, self_signed)
        return self.path(name + '.pem'), self.path(name + '.key')

    def client(self, name, authority='ca'):
        """Return (certificate, key) of a client called so."""
        base = 'client-%s-%s' % (authority, name)
        with open(self.path('lock'), 'w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(self.path(base + '.pem')):
                self._key(base, 'ec')
                openssl('req', '-new', '-key', self.path(base + '.key'), '-subj', '/CN=' + name, '-out',
                        self.path(base + '.csr'))
                openssl('x509', '-req', '-in', self.path(base + '.csr'), '-CA', self.path(authority + '.pem'), '-CAkey',
                        self.path(authority + '.key'), '-set_serial', str(int.from_bytes(os.urandom(8), 'big')),
                        '-days', '30', '-sha256', '-out', self.path(base + '.tmp'))
                os.rename(self.path(base + '.tmp'), self.path(base + '.pem'))
        return self.path(base + '.pem'), self.path(base + '.key')

    def _make(self, name, hosts, kind, digest, authority, expired, san, self_signed):
        if not os.path.exists(self.path(authority + '.pem')):
            self._authority(authority, '/CN=nobody trusts this one')
        self._key(name, kind)
        with open(self.path(name + '.ext'), 'w') as f:
            f.write('basicConstraints=CA:FALSE\nkeyUsage=digitalSignature,keyEncipherment\n'
                    'extendedKeyUsage=serverAuth\n')
            if san:
                kinds = ['IP:' + h if h[0].isdigit() else 'DNS:' + h for h in hosts]
                f.write('subjectAltName=' + ','.join(kinds) + '\n')
        request = self.path(name + '.csr')
        openssl('req', '-new', '-key', self.path(name + '.key'), '-subj', '/CN=' + hosts[0], '-out', request)
        out = self.path(name + '.tmp')
        if expired:
            self._expired(name, request, out, authority)
        elif self_signed:
            openssl('x509', '-req', '-in', request, '-signkey', self.path(name + '.key'), '-days', '30',
                    '-' + digest, '-extfile', self.path(name + '.ext'), '-out', out)
        else:
            openssl('x509', '-req', '-in', request, '-CA', self.path(authority + '.pem'), '-CAkey',
                    self.path(authority + '.key'), '-set_serial', str(int.from_bytes(os.urandom(8), 'big')),
                    '-days', '30', '-' + digest, '-extfile', self.path(name + '.ext'), '-out', out)
        os.rename(out, self.path(name + '.pem'))

    def _expired(self, name, request, out, authority):
        # Only `openssl ca` of OpenSSL 3.0 takes dates; it wants a small database.
        base = self.path(name + '.db')
        os.makedirs(base, exist_ok=True)
        open(os.path.join(base, 'index'), 'w').close()
        with open(os.path.join(base, 'serial'), 'w') as f:
            f.write('1001\n')
        with open(os.path.join(base, 'conf'), 'w') as f:
            f.write('[ca]\ndefault_ca=d\n[d]\nnew_certs_dir=%s\ndatabase=%s/index\nserial=%s/serial\n'
                    'default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n' % (base, base, base))
        openssl('ca', '-batch', '-config', os.path.join(base, 'conf'), '-in', request, '-notext',
                '-cert', self.path(authority + '.pem'), '-keyfile', self.path(authority + '.key'),
                '-startdate', '20200101000000Z', '-enddate', '20210101000000Z',
                '-extfile', self.path(name + '.ext'), '-out', out)

    def context(self, hosts, weak=False, version=None, **kwargs):
        """A server-side TLS context for the hosts. weak: let OpenSSL serve what it would refuse itself."""
        certificate, key = self.server(hosts, **kwargs)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if weak:
            context.set_ciphers('DEFAULT:@SECLEVEL=0')
        if version:
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = version
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols(['http/1.1'])
        return context
