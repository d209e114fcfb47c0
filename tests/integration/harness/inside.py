import http.client
import json
import os
import socket
import ssl
import sys
import time


def out(value):
    print(json.dumps(value), flush=True)


def context():
    c = ssl.create_default_context()
    return c


def connect(host, port=443, timeout=60):
    return socket.create_connection((host, port), timeout=timeout)


def tls(host, port=443, sni=None, timeout=60, verify=True):
    c = context()
    if not verify:
        c.check_hostname = False
        c.verify_mode = ssl.CERT_NONE
    return c.wrap_socket(connect(host, port, timeout), server_hostname=sni or host)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def dict(self):
        return {'status': self.status, 'headers': self.headers, 'body': self.body.decode('latin-1')}


def read_answer(sock, method='GET'):
    r = http.client.HTTPResponse(sock, method=method)
    r.begin()
    return Answer(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())


def send(sock, data, method='GET'):
    sock.sendall(data if isinstance(data, bytes) else data.encode('latin-1'))
    return read_answer(sock, method)


def fetch(url, method='GET', headers=(), body=b''):
    scheme, rest = url.split('://', 1)
    name, _, path = rest.partition('/')
    host, _, port = name.partition(':')
    s = tls(host, int(port or 443)) if scheme == 'https' else connect(host, int(port or 80))
    head = '%s /%s HTTP/1.1\r\nHost: %s\r\n' % (method, path, name)
    for k, v in headers:
        head += '%s: %s\r\n' % (k, v)
    if body:
        head += 'Content-Length: %d\r\n' % len(body)
    answer = send(s, head.encode('latin-1') + b'\r\n' + body, method)
    s.close()
    return answer


def attempt(f, *args, **kwargs):
    """The result as something that can be printed: an answer, or the name of the error."""
    try:
        r = f(*args, **kwargs)
        return r.dict() if isinstance(r, Answer) else r
    except Exception as e:
        return {'error': type(e).__name__ + ': ' + str(e), 'errno': getattr(e, 'errno', None)}


def rest(sock):
    """Everything until the end, and how it ended."""
    data = b''
    try:
        while True:
            part = sock.recv(65536)
            if not part:
                return data, 'closed'
            data += part
    except (ConnectionResetError, BrokenPipeError):
        return data, 'reset'
    except (TimeoutError, socket.timeout):
        return data, 'timeout'
    except ssl.SSLError as e:
        return data, 'tls'
