// Takes three verifications through the Verify API at a host, as an application would, with one of Vonage's own SDKs:
// one is checked with a wrong code and the right one, one is of a payment, one is cancelled. Prints an answer a line as JSON and fails at
// the first surprise. The SDKs differ in what goes over the wire, which is the reason to have several:
//
//   server-sdk   3.30.1: POST with JSON, GET for search, credentials as HTTP Basic
//   verify-1.18  1.18.1: the same with the credentials in the JSON body, or the query of a search
//   nexmo        2.9.1: GET for everything, the credentials in the query
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';

const { values: args } = parseArgs({
  options: {
    sdk: { type: 'string' }, // one of those above
    host: { type: 'string' }, // where the Verify API is, as http://127.0.0.1:8080
    'api-key': { type: 'string' },
    'api-secret': { type: 'string' },
    app: { type: 'string' }, // what the SDK adds to its User-Agent
    number: { type: 'string' }, // the first of two numbers in a row
    code: { type: 'string' }, // the code that is right
    'cancel-within': { type: 'string', default: '0' }, // milliseconds to try cancelling; 0: it is too early, and stays so
    'no-psd2': { type: 'boolean', default: false },
    psd2: { type: 'string', default: '0' }, // the status that a payment is answered
  },
});
const credentials = { apiKey: args['api-key'], apiSecret: args['api-secret'] };

// Each SDK as the same five functions, which answer with the names the API itself uses.
const sdks = {
  'server-sdk': async () => {
    const { Vonage } = await import('@vonage/server-sdk');
    return modern(new Vonage(credentials, { apiHost: args.host, appendUserAgent: args.app }).verify);
  },
  'verify-1.18': async () => {
    const { Verify } = await import('@vonage/verify-1.18');
    return modern(new Verify(credentials, { apiHost: args.host, appendUserAgent: args.app }));
  },
  nexmo: async () => {
    const { default: Nexmo } = await import('nexmo');
    const { hostname, port } = new URL(args.host);
    const { verify } = new Nexmo(credentials, { apiHost: hostname, port, appendToUserAgent: args.app });
    const call = (name) => promisify(verify[name].bind(verify));
    return {
      request: (number) => call('request')({ number, brand: 'Example' }),
      check: (request_id, code) => call('check')({ request_id, code }),
      search: (request_id) => call('search')(request_id),
      cancel: (request_id) => call('control')({ request_id, cmd: 'cancel' }),
      psd2: (number) => call('psd2')({ number, payee: 'Example', amount: '48.00' }),
    };
  },
};

function modern(verify) {
  const snake = ({ requestId, ...rest }) => ({ request_id: requestId, ...rest });
  return {
    request: async (number) => snake(await verify.start({ number, brand: 'Example' })),
    check: async (request_id, code) => snake(await verify.check(request_id, code)),
    search: async (request_id) => snake(await verify.search(request_id)),
    cancel: async (request_id) => snake(await verify.cancel(request_id)),
    psd2: async (number) => snake(await verify.start({ number, payee: 'Example', amount: 48.05 })),
  };
}

const sdk = await sdks[args.sdk]();

// say prints an answer and returns it; expect wants it to have that status, too.
async function say(step, call) {
  const answer = await call;
  console.log(JSON.stringify({ step, ...answer }));
  return answer;
}
async function expect(status, step, call) {
  const answer = await say(step, call);
  assert.equal(answer.status, status, step);
  return answer;
}

const wrong = args.code.replace(/.$/, (digit) => (Number(digit) + 1) % 10);
const second = String(BigInt(args.number) + 1n);

const { request_id: checked } = await expect('0', 'request', sdk.request(args.number));
assert.match(checked, /^[0-9a-f]{32}$/, 'request_id');
const { request_id: found } = await expect('IN PROGRESS', 'search', sdk.search(checked));
assert.equal(found, checked, 'the verification that search found');
await expect('16', 'wrong check', sdk.check(checked, wrong));
await expect('0', 'right check', sdk.check(checked, args.code));
await expect('SUCCESS', 'search after the check', sdk.search(checked));

if (!args['no-psd2']) { // version 1.0.0 of the API's document does not have it
  const { request_id: paid } = await expect(args.psd2, 'psd2', sdk.psd2(args.number));
  if (args.psd2 === '0') await expect('0', 'check of the payment', sdk.check(paid, args.code));
}

const { request_id: cancelled } = await expect('0', 'second request', sdk.request(second));
assert.notEqual(cancelled, checked, 'two verifications of one request_id');
await expect('IN PROGRESS', 'second search', sdk.search(cancelled));
await expect('19', 'early cancel', sdk.cancel(cancelled));
const deadline = Date.now() + Number(args['cancel-within']);
if (deadline > Date.now()) {
  let answer;
  do {
    await sleep(200);
    answer = await say('cancel', sdk.cancel(cancelled));
  } while (answer.status === '19' && Date.now() < deadline);
  assert.equal(answer.status, '0', 'cancel');
  await expect('CANCELLED', 'search after the cancel', sdk.search(cancelled));
}
console.log(JSON.stringify({ step: 'done' }));
