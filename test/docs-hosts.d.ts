// What the blocks of docs/guides/hosts.md use of frameworks and runtimes that are not installed here, in scope of every
// `ts` block of the documents. `npm run check:hosts` compiles the same blocks with the frameworks themselves.

declare module "@koa/bodyparser" {
  export function bodyParser(): import("koa").Middleware;
}

declare module "@nestjs/common" {
  export interface OnApplicationBootstrap {
    onApplicationBootstrap(): unknown;
  }
  export interface BeforeApplicationShutdown {
    beforeApplicationShutdown(signal?: string): unknown;
  }
  export function Module(metadata: { readonly providers?: readonly unknown[] }): (target: unknown) => void;
}

declare module "@nestjs/core" {
  type Listener = (incoming: import("node:http").IncomingMessage, outgoing: import("node:http").ServerResponse) => void;
  export const NestFactory: {
    create(
      module: unknown,
      options?: { readonly rawBody?: boolean },
    ): Promise<{
      use(path: string, listener: Listener): unknown;
      enableShutdownHooks(): unknown;
      listen(port: number): Promise<unknown>;
    }>;
  };
}

declare module "reflect-metadata" {}

declare module "$app/env" {
  export const building: boolean;
}

declare module "@sveltejs/kit" {
  export type ServerInit = () => Promise<void> | void;
  export type RequestHandler = (event: { readonly request: Request }) => Promise<Response> | Response;
}

declare module "nitro/runtime" {
  type Plugin = (app: { readonly hooks: { hook(name: "close", listener: () => Promise<void>): unknown } }) => void;
  export function defineNitroPlugin(plugin: Plugin): Plugin;
}

declare module "nitro/h3" {
  type EventHandler = (event: { readonly req: Request }) => Promise<Response> | Response;
  export function defineHandler(handler: EventHandler): EventHandler;
}

declare module "nitropack/runtime" {
  export { defineNitroPlugin } from "nitro/runtime";
}

declare module "h3" {
  interface H3Event {
    readonly node: object;
  }
  type EventHandler = (event: H3Event) => Promise<Response> | Response;
  export function defineEventHandler(handler: EventHandler): EventHandler;
  export function toWebRequest(event: H3Event): Request;
}

declare const Bun: {
  serve(options: {
    readonly port: number;
    readonly fetch: (request: Request) => Promise<Response>;
    readonly idleTimeout: number;
  }): { stop(): Promise<void> };
};

declare const Deno: {
  readonly env: { get(name: string): string | undefined };
  serve(
    options: { readonly port: number },
    handler: (request: Request) => Promise<Response>,
  ): { shutdown(): Promise<void> };
  addSignalListener(signal: "SIGTERM", listener: () => void): void;
  exit(): never;
};
