// Lets a test drive @kubernetes/client-node: each line on standard input is a call, each line on standard output the
// answer to the call with the same number. The first argument is the client's folder.

import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const k8s = await import(pathToFileURL(`${process.argv[2]}/dist/index.js`));
const informers = new Map();
let config;

const known = (error) => ({
  name: error.name,
  code: error.code ?? error.statusCode ?? null,
  message: String(error.message),
  body: typeof error.body === 'string' ? error.body : JSON.stringify(error.body ?? null),
});

// What an informer has told, and whoever waits for it to tell more.
class Told {
  constructor() {
    this.events = [];
    this.waiting = [];
  }

  add(...event) {
    this.events.push(event);
    this.waiting.splice(0).forEach((wake) => wake());
  }

  async until(count) {
    while (this.events.length < count) await new Promise((wake) => this.waiting.push(wake));
    return this.events;
  }
}

const calls = {
  connect({ kubeconfig }) {
    config = new k8s.KubeConfig();
    config.loadFromFile(kubeconfig);
    return config.getCurrentContext();
  },

  token({ token }) {
    const { name, server, caData } = config.getCurrentCluster();
    const user = { name: 'token', token };
    config = new k8s.KubeConfig();
    config.loadFromClusterAndUser({ name, server, caData }, user);
  },

  // A method of a generated API; `strategy` is the sort of a patch.
  api({ api, method, parameters, strategy }) {
    const options = strategy && k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy[strategy]);
    return config.makeApiClient(k8s[api])[method](parameters, options || undefined);
  },

  // A method of the API for objects of any kind.
  object({ method, parameters }) {
    return k8s.KubernetesObjectApi.makeApiClient(config)[method](...parameters);
  },

  // The events of one watch until it ends, and how it ended.
  async watch({ path, query }) {
    const events = [];
    const watching = new k8s.Watch(config);
    const error = await new Promise((resolve, reject) => {
      watching
        .watch(path, query, (type, object) => events.push([type, object]), resolve)
        .catch(reject);
    });
    return { events, error: error && known(error) };
  },

  async inform({ id, namespace, labels }) {
    const api = config.makeApiClient(k8s.CoreV1Api);
    const list = () => api.listNamespacedConfigMap({ namespace, labelSelector: labels });
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const informer = k8s.makeInformer(config, path, list, labels);
    const told = new Told();
    for (const verb of ['add', 'update', 'delete'])
      informer.on(verb, (object) => told.add(verb, object.metadata.name, object.data ?? {}));
    informer.on('connect', () => told.add('connect'));
    informer.on('error', (error) => told.add('error', known(error)));
    informers.set(id, { informer, told });
    await informer.start();
  },

  told({ id, count }) {
    return informers.get(id).told.until(count);
  },

  restart({ id }) {
    return informers.get(id).informer.start();
  },

  held({ id }) {
    return informers.get(id).informer.list().map((object) => object.metadata.name).sort();
  },

  async stop({ id }) {
    await informers.get(id).informer.stop();
    informers.delete(id);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { number, call, parameters } = JSON.parse(line);
  Promise.resolve()
    .then(() => calls[call](parameters))
    .then((value) => ({ number, value: value ?? null }), (error) => ({ number, error: known(error) }))
    .then((answer) => process.stdout.write(`${JSON.stringify(answer)}\n`));
}
process.exit(0);
