interface ImportMetaEnv {
  readonly VITE_API_BASE_URL: string;
  readonly VITE_WEBSOCKET_URL: string;
  readonly VITE_AUTH_URL: string;
  readonly VITE_CREDENTIAL?: string;
}
