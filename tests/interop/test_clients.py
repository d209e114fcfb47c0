# SPDX-License-Identifier: Apache-2.0
"""Common clients, with no setting of their own, trust the gateway and get their answer and their refusal through it."""
import glob
import shutil
import subprocess

from harness.box import Box, PYTHON
from harness.origin import Origin, git_handler, git_repository
from harness.registry import cases, check, equal, test

HOST = 'api.example.com'
URL = 'https://api.example.com/'

# name, program that has to exist, command that prints the body for the URL in "$1"
CLIENTS = [
    ('curl', 'curl', 'curl -sS "$1"'),
    ('wget', 'wget', 'wget -q -O - "$1"'),
    ('python_urllib', PYTHON, PYTHON + ' -c "import sys,urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())" "$1"'),
    ('python_requests', PYTHON, PYTHON + ' -c "import sys,requests; print(requests.get(sys.argv[1]).text)" "$1"'),
    ('python_httpx', PYTHON, PYTHON + ' -c "import sys,httpx; print(httpx.get(sys.argv[1], timeout=60).text)" "$1"'),
    ('node_https', 'node', 'node -e "require(\'https\').get(process.argv[1],r=>r.pipe(process.stdout))" "$1"'),
    ('node_fetch', 'node', 'node -e "fetch(process.argv[1]).then(r=>r.text()).then(console.log)" "$1"'),
    ('perl_lwp', 'perl', 'perl -MLWP::UserAgent -e \'print LWP::UserAgent->new->get($ARGV[0])->decoded_content\' "$1"'),
    ('perl_tiny', 'perl', 'perl -MHTTP::Tiny -e \'print HTTP::Tiny->new(verify_SSL=>1)->get($ARGV[0])->{content}\' "$1"'),
    ('ruby', 'ruby', 'ruby -ropen-uri -e \'print URI.open(ARGV[0]).read\' "$1"'),
    ('php', 'php', 'php -r \'echo file_get_contents($argv[1]);\' "$1"'),
    ('openssl', 'openssl', 'printf "GET / HTTP/1.1\\r\\nHost: api.example.com\\r\\nConnection: close\\r\\n\\r\\n" | '
     'openssl s_client -quiet -verify_return_error -connect api.example.com:443 -servername api.example.com 2>/dev/null'),
    ('gnutls_cli', 'gnutls-cli', 'rm -f ended; '
     '(printf "GET / HTTP/1.1\\r\\nHost: api.example.com\\r\\nConnection: close\\r\\n\\r\\n"; '
     'until test -e ended; do sleep 0.1; done) | (gnutls-cli api.example.com 2>/dev/null; touch ended)'),
    ('aria2', 'aria2c', 'aria2c -q -o got "$1" && cat got'),
    ('lynx', 'lynx', 'lynx -source "$1"'),
    ('deno', 'deno', 'deno eval "console.log(await (await fetch(Deno.args[0])).text())" "$1"'),
    ('bun', 'bun', 'bun -e "console.log(await (await fetch(process.argv[1])).text())" "$1"'),
]

MISSING = ('ModuleNotFoundError', "Can't locate", 'IO::Socket::SSL', 'Unable to find the wrapper', 'LoadError')


@cases(CLIENTS)
def client(t, program, command):
    where = shutil.which(program, path='/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin')
    if not where:
        t.skip(program + ' is not installed')
    origin = Origin(t.pki.context([HOST]))
    box = Box(t).add('--allow', HOST).connect(origin, HOST)
    result = box.sh(command, URL)
    if any(m in result.err or m in result.out for m in MISSING):
        t.skip('a module of the client is not installed: ' + (result.err + result.out).strip().splitlines()[0][:150])
    check('origin says hello' in result.out, '%r' % result)
    equal(len(origin.requests), 1, 'requests at the origin')
    unlisted = box.sh(command.replace('api.example.com', 'no.example.com'), 'https://no.example.com/')
    check('origin says hello' not in unlisted.out, 'an unlisted host: %r' % unlisted)
    equal(len(origin.requests), 1, 'requests at the origin')


@test
def go_client(t):
    if not shutil.which('go', path='/usr/bin:/usr/local/bin:/usr/local/go/bin'):
        t.skip('go is not installed')
    source = t.write('box-go/main.go', '''package main
import ("fmt"; "io"; "net/http"; "os")
func main() { r, e := http.Get(os.Args[1]); if e != nil { fmt.Println(e); os.Exit(1) }; b, _ := io.ReadAll(r.Body); fmt.Print(string(b)) }
''')
    origin = Origin(t.pki.context([HOST]))
    box = Box(t).add('--allow', HOST).connect(origin, HOST)
    subprocess.run(['go', 'build', '-o', box.work + '/get', source], check=True, timeout=50,
                   env={'PATH': '/usr/bin:/usr/local/bin:/usr/local/go/bin', 'HOME': t.tmp, 'GOFLAGS': '-mod=mod', 'GO111MODULE': 'off'})
    equal(box.run('./get', URL).ok().out, 'origin says hello\n', 'body')


@test(timeout=120)
def java_client(t):
    """Its list of authorities is a key store, which has the sandbox's as one more, and a sum that its tools check."""
    if not shutil.which('java'):
        t.skip('java is not installed')
    if not glob.glob('/etc/**/java/cacerts', recursive=True):
        t.skip('this java has a list of its own, not the one of the distribution')
    origin = Origin(t.pki.context([HOST]))
    box = Box(t).add('--allow', HOST).connect(origin, HOST)
    t.write('box/work/Get.java', '''public class Get { public static void main(String[] a) throws Exception {
System.out.print(new String(new java.net.URL(a[0]).openStream().readAllBytes())); } }
''')
    equal(box.run('java', 'Get.java', URL, timeout=100).ok().out, 'origin says hello\n', 'body')
    equal(box.run('java', 'Get.java', URL, timeout=100, flags=['--net', 'none']).out, '', 'without a gateway')
    if shutil.which('keytool'):
        command = ['keytool', '-list', '-cacerts', '-storepass', 'changeit']
        outside = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
        inside = box.run(*command, timeout=100).ok().out
        equal(sum('trustedCertEntry' in x for x in inside.splitlines()),
              sum('trustedCertEntry' in x for x in outside.splitlines()) + 1, 'authorities')
        check('nsbox, ' in inside, 'ours: %s' % inside[:300])


@test
def git_over_https(t):
    """git uses the GnuTLS build of curl here: another TLS library than the curl command."""
    root = git_repository(t.tmp)
    origin = Origin(t.pki.context(['git.example.com']), handler=git_handler(root, 'u', 'p-token-0123456789'))
    box = Box(t).connect(origin, 'git.example.com').add('--allow', 'git.example.com', '--secret',
                                                        'TOKEN@git.example.com', TOKEN='p-token-0123456789')
    box.sh('git clone -q --depth 1 "https://u:$TOKEN@git.example.com/acme/app.git" && cd app && git fetch -q && '
           'git ls-remote').ok()


@test
def system_authorities_still_trusted(t):
    """The bundle inside holds the authorities of the system too, for hosts that are passed through."""
    result = Box(t).sh('grep -c BEGIN /etc/ssl/certs/ca-certificates.crt; grep -c BEGIN "$SSL_CERT_FILE"').ok()
    with open('/etc/ssl/certs/ca-certificates.crt') as f:
        outside = f.read().count('BEGIN CERT')
    inside = [int(x) for x in result.out.split()]
    check(all(n == outside + 1 for n in inside), 'certificates inside %r, outside %d' % (inside, outside))
