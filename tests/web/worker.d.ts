/** What the server writes before the worker: the client's own files of one version. */
declare const SHELL: { version: string; files: string[] };
